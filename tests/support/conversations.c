#include "tests/support/conversations.h"

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "tests/support/suite_private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 100000, MEMORY = 64 * 1024 * 1024, MESSAGES_MAX = 1000, ACCOUNTS_MAX = 64 };

void conversations_read(const char *path, struct conversations *ret_conversations)
{
    struct conversations c = {.list = calloc(LINES_MAX, sizeof(json_t *))};
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    json_error_t why;
    if (!f || !c.list)
        suite_give_up(NULL, "cannot read %s", path);
    while (c.count < LINES_MAX && getline(&line, &size, f) > 0)
        if (!(c.list[c.count++] = json_loads(line, 0, &why)))
            suite_give_up(NULL, "%s:%zu: %s", path, c.count, why.text);
    free(line);
    fclose(f);
    *ret_conversations = c;
}

void conversations_release(struct conversations *conversations)
{
    for (size_t i = 0; i < conversations->count; i++)
        json_decref(conversations->list[i]);
    free(conversations->list);
    *conversations = (struct conversations){0};
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

const char *conversation_account(const json_t *conversation, const char *prefix, arena *memory)
{
    char *id = arena_printf(memory, "%s%s", prefix, text_of(conversation, "account"));
    for (char *c = id; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return id;
}

void conversations_append(const struct conversations *conversations, const char *path, const char *prefix)
{
    FILE *f = fopen(path, "ae");
    if (!f)
        suite_give_up(NULL, "cannot write %s", path);
    for (size_t i = 0; i < conversations->count; i++) {
        json_t *copy = json_copy(conversations->list[i]);
        json_object_set_new(copy, "account", json_sprintf("%s%s", prefix, text_of(copy, "account")));
        json_dumpf(copy, f, JSON_COMPACT);
        fputc('\n', f);
        json_decref(copy);
    }
    if (fclose(f) != 0)
        suite_give_up(NULL, "cannot write %s", path);
}

/* --- what the service has --- */

struct account_cases {
    const char *account;
    Casework__Cases__V1__Case **cases;
    size_t count;
};

static void list_cases(suite *s, unsigned replica, const char *account, arena *memory,
                       struct account_cases *ret)
{
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    request.parent = arena_printf(memory, "accounts/%s", account);
    request.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_ALL;
    request.page_size = 1000;
    const Casework__Cases__V1__ListCasesResponse *response = suite_call_at(
        s, replica, &casework__cases__v1__case_service__descriptor, "ListCases", &request, memory);
    if (response->next_page_token[0])
        suite_give_up(s, "more cases in %s than expected", account);
    *ret = (struct account_cases){account, response->cases, response->n_cases};
}

/* Each account is listed once. */
static const struct account_cases *cases_of(suite *s, unsigned replica, const char *account,
                                            struct account_cases *listed, size_t *count, arena *memory)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(listed[i].account, account) == 0)
            return &listed[i];
    if (*count == ACCOUNTS_MAX)
        suite_give_up(s, "more accounts than expected");
    list_cases(s, replica, account, memory, &listed[*count]);
    return &listed[(*count)++];
}

static const Casework__Cases__V1__Case *find_case(const struct account_cases *cases, const char *external_id)
{
    const Casework__Cases__V1__Case *found = NULL;
    for (size_t i = 0; i < cases->count; i++) {
        if (strcmp(cases->cases[i]->external_id, external_id) != 0)
            continue;
        if (found)
            return NULL; /* twice is as bad as never */
        found = cases->cases[i];
    }
    return found;
}

/* --- one conversation against one case --- */

struct expected {
    int kind;
    int64_t time_us;
    const char *text;
};

static int kind_of(const char *from)
{
    if (strcmp(from, "customer") == 0)
        return CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    if (strcmp(from, "agent") == 0)
        return CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT;
    if (strcmp(from, "note") == 0)
        return CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_NOTE;
    return CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_FROM_THIRD_PARTY;
}

/* By time; those of one time stay as the file has them. */
static size_t expect(const json_t *conversation, struct expected *ret_messages)
{
    const json_t *messages = json_object_get(conversation, "messages");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(messages) && i < MESSAGES_MAX; i++) {
        const json_t *m = json_array_get(messages, i);
        struct expected e = {.kind = kind_of(text_of(m, "from")), .text = text_of(m, "text")};
        if (!clock_parse(text_of(m, "at"), &e.time_us))
            suite_give_up(NULL, "not a time: %s", text_of(m, "at"));
        size_t at = count++;
        for (; at > 0 && ret_messages[at - 1].time_us > e.time_us; at--)
            ret_messages[at] = ret_messages[at - 1];
        ret_messages[at] = e;
    }
    return count;
}

static bool same_message(const struct expected *e, size_t number, const Casework__Cases__V1__Message *m)
{
    int64_t time = m->send_time ? m->send_time->seconds * CLOCK_SECOND + m->send_time->nanos / 1000 : 0;
    return m->number == (int32_t)number && (int)m->kind == e->kind && time == e->time_us &&
           strcmp(m->body, e->text) == 0;
}

static bool same_conversation(suite *s, unsigned replica, const json_t *conversation, const char *case_name)
{
    static struct expected expected[MESSAGES_MAX];
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    arena *memory = arena_new(MEMORY);
    request.parent = (char *)case_name;
    request.page_size = MESSAGES_MAX;
    const Casework__Cases__V1__ListMessagesResponse *response = suite_call_at(
        s, replica, &casework__cases__v1__message_service__descriptor, "ListMessages", &request, memory);
    size_t count = expect(conversation, expected);
    bool same = response->n_messages == count;
    for (size_t i = 0; same && i < count; i++)
        same = same_message(&expected[i], i + 1, response->messages[i]);
    arena_free(memory);
    return same;
}

size_t conversations_compare(const struct conversations *conversations, suite *s, unsigned replica,
                             const char *prefix)
{
    arena *memory = arena_new(MEMORY);
    struct account_cases listed[ACCOUNTS_MAX];
    size_t different = 0, listed_count = 0;
    for (size_t i = 0; i < conversations->count; i++) {
        const char *account = conversation_account(conversations->list[i], prefix, memory);
        const char *external_id = text_of(conversations->list[i], "external_id");
        const Casework__Cases__V1__Case *found =
            find_case(cases_of(s, replica, account, listed, &listed_count, memory), external_id);
        if (found && same_conversation(s, replica, conversations->list[i], found->name))
            continue;
        different++;
        fprintf(stderr, "%s/%s: %s\n", account, external_id,
                found ? "messages differ" : "not there, or more than once");
    }
    arena_free(memory);
    return different;
}
