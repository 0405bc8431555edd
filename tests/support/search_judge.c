#include "tests/support/search_judge.h"

#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/wire.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES(name) (&casework__cases__v1__##name##__descriptor)
#define SEARCH (&casework__search__v1__search_service__descriptor)

typedef Casework__Search__V1__SearchCasesRequest search_request;
typedef Casework__Search__V1__SearchCasesResponse search_response;

enum { FIRST_MESSAGES = 30, ANSWER_BYTES_MAX = 64 << 20 };

/* An account that is being read. */
struct reading {
    suite *suite;
    arena *memory;
};

static const char *last_segment(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : "";
}

/* --- reading everything ------------------------------------------------------------------------------- */

struct texts {
    struct search_text *items;
    size_t count;
};

static void add_text(struct texts *texts, enum search_field field, const char *text)
{
    texts->items[texts->count++] = (struct search_text){field, text};
}

static void read_contact(struct reading *reading, const char *name, struct texts *texts)
{
    if (!*name)
        return;
    Casework__Cases__V1__GetContactRequest request = CASEWORK__CASES__V1__GET_CONTACT_REQUEST__INIT;
    request.name = (char *)name;
    const Casework__Cases__V1__GetContactResponse *response =
        suite_call(reading->suite, CASES(contact_service), "GetContact", &request, reading->memory);
    const Casework__Cases__V1__Contact *contact = response->contact;
    add_text(texts, SEARCH_FIELD_CONTACT_NAME, contact->display_name);
    add_text(texts, SEARCH_FIELD_CONTACT_NOTE, contact->note);
    for (size_t i = 0; i < contact->n_emails; i++)
        add_text(texts, SEARCH_FIELD_CONTACT_EMAIL, contact->emails[i]);
    for (size_t i = 0; i < contact->n_phones; i++)
        add_text(texts, SEARCH_FIELD_CONTACT_PHONE, contact->phones[i]);
}

/* They are told by the time they were sent, which differs from their numbers after a merge. */
static int compare_numbers(const void *a, const void *b)
{
    const Casework__Cases__V1__Message *const *left = a, *const *right = b;
    long long one = strtoll(last_segment((*left)->name), NULL, 10);
    long long other = strtoll(last_segment((*right)->name), NULL, 10);
    return (one > other) - (one < other);
}

static void read_messages(struct reading *reading, const char *name, struct texts *texts)
{
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    request.parent = (char *)name;
    request.page_size = 1000;
    const Casework__Cases__V1__ListMessagesResponse *response =
        suite_call(reading->suite, CASES(message_service), "ListMessages", &request, reading->memory);
    cr_assert_str_eq(response->next_page_token, "");
    int counting = 0;
    if (response->n_messages)
        qsort((void *)response->messages, response->n_messages, sizeof(void *), compare_numbers);
    for (size_t i = 0; i < response->n_messages && counting < FIRST_MESSAGES; i++) {
        const Casework__Cases__V1__Message *message = response->messages[i];
        if (message->kind == CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_SYSTEM || message->redacted)
            continue;
        add_text(texts, SEARCH_FIELD_MESSAGE, message->body);
        counting++;
    }
}

static void read_case(struct reading *reading, const Casework__Cases__V1__Case *c,
                      struct search_document *document)
{
    enum { CONTACT_TEXTS = 64 };
    struct texts texts = {.items =
                              arena_calloc(reading->memory, 2 + CONTACT_TEXTS + c->n_labels + FIRST_MESSAGES,
                                           sizeof(struct search_text))};
    *document = (struct search_document){.number = strtoll(last_segment(c->name), NULL, 10),
                                         .status = (int)c->status,
                                         .subject = c->subject,
                                         .owner = last_segment(c->owner),
                                         .channel = last_segment(c->channel),
                                         .contact = last_segment(c->contact),
                                         .labels = (const char *const *)c->labels,
                                         .label_count = c->n_labels,
                                         .need_reply = c->need_reply};
    cr_assert(wire_time_us(c->update_time, &document->update_time_us));
    add_text(&texts, SEARCH_FIELD_SUBJECT, c->subject);
    add_text(&texts, SEARCH_FIELD_CASE_ID, last_segment(c->name));
    for (size_t i = 0; i < c->n_labels; i++)
        add_text(&texts, SEARCH_FIELD_LABEL, c->labels[i]);
    read_contact(reading, c->contact, &texts);
    if (!*c->merged_into) /* its messages are at the other case */
        read_messages(reading, c->name, &texts);
    document->texts = texts.items;
    document->text_count = texts.count;
}

static void add_case(struct reading *reading, const Casework__Cases__V1__Case *one,
                     struct search_judge *judge)
{
    struct search_document *document = &judge->documents[judge->count++];
    read_case(reading, one, document);
    plain_reader_put(judge->reader, document);
}

/* All of them, also those that no folder shows because they were merged. */
static void read_numbers(struct reading *reading, int last, struct search_judge *judge)
{
    judge->documents = arena_calloc(reading->memory, (size_t)last + 1, sizeof *judge->documents);
    for (int number = 1; number <= last; number++) {
        Casework__Cases__V1__GetCaseRequest request = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
        ProtobufCMessage *response;
        error err;
        request.name = arena_printf(reading->memory, "%s/cases/%d", judge->account, number);
        if (suite_try(reading->suite, CASES(case_service), "GetCase", &request.base, reading->memory,
                      &response, &err))
            add_case(reading, ((const Casework__Cases__V1__GetCaseResponse *)response)->case_, judge);
        else
            cr_assert_eq(err.code, STATUS_NOT_FOUND, "%s", err.message);
    }
}

static void read_listed(struct reading *reading, struct search_judge *judge)
{
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    request.parent = (char *)judge->account;
    request.page_size = 1000;
    const Casework__Cases__V1__ListCasesResponse *response =
        suite_call(reading->suite, CASES(case_service), "ListCases", &request, reading->memory);
    cr_assert_str_eq(response->next_page_token, "");
    judge->documents = arena_calloc(reading->memory, response->n_cases + 1, sizeof *judge->documents);
    for (size_t i = 0; i < response->n_cases; i++)
        add_case(reading, response->cases[i], judge);
}

void search_judge_read(suite *s, const char *account, int last, arena *memory, struct search_judge *ret_judge)
{
    struct reading reading = {s, memory};
    *ret_judge = (struct search_judge){
        .account = account, .position = suite_position(s, account), .reader = plain_reader_new()};
    if (last)
        read_numbers(&reading, last, ret_judge);
    else
        read_listed(&reading, ret_judge);
}

void search_judge_release(struct search_judge *judge)
{
    plain_reader_free(judge->reader);
    judge->reader = NULL;
}

/* --- comparing ---------------------------------------------------------------------------------------- */

/* What is told of a case besides its words. */
static bool has_facts(const struct search_judge *judge, const Casework__Search__V1__SearchResult *result,
                      int64_t number)
{
    size_t at = 0;
    int64_t time_us;
    while (judge->documents[at].number != number)
        at++;
    const struct search_document *document = &judge->documents[at];
    return strcmp(result->subject, document->subject) == 0 && (int)result->status == document->status &&
           strcmp(last_segment(result->owner), document->owner) == 0 &&
           wire_time_us(result->update_time, &time_us) && time_us == document->update_time_us &&
           (result->need_reply != 0) == document->need_reply;
}

static bool is_result(const struct search_judge *judge, const Casework__Search__V1__SearchResult *result,
                      const struct plain_result *expected, const struct plain_answer *answer)
{
    char name[160];
    snprintf(name, sizeof name, "%s/cases/%lld", judge->account, (long long)expected->number);
    if (strcmp(result->case_, name) != 0 || !has_facts(judge, result, expected->number))
        return false;
    size_t at = 0;
    for (size_t word = 0; word < answer->word_count; word++)
        for (unsigned field = 1; field <= 8; field++) {
            if (!(expected->fields[word] >> (field - 1) & 1))
                continue;
            if (at == result->n_matches || strcmp(result->matches[at]->word, answer->words[word]) != 0 ||
                (unsigned)result->matches[at]->field != field)
                return false;
            at++;
        }
    return at == result->n_matches;
}

static const char *differ(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum { TEXT_SIZE = 400 };

static const char *differ(char *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, TEXT_SIZE, format, arguments);
    va_end(arguments);
    return text;
}

/* A case that should not have been found; "" when it is not on this page. */
static const char *surplus(const struct search_judge *judge, const struct plain_answer *expected,
                           const search_response *response)
{
    static char text[200];
    *text = '\0';
    for (size_t i = 0; i < response->n_results; i++) {
        const Casework__Search__V1__SearchResult *result = response->results[i];
        size_t at = 0;
        while (at < expected->count &&
               expected->results[at].number != strtoll(last_segment(result->case_), NULL, 10))
            at++;
        if (at == expected->count)
            snprintf(text, sizeof text, "%s/cases/%s, field %d, status %d", judge->account,
                     last_segment(result->case_), result->n_matches ? (int)result->matches[0]->field : 0,
                     (int)result->status);
    }
    return text;
}

static const char *compare_page(const struct search_judge *judge, const struct plain_query *plain,
                                const struct plain_answer *expected, const search_response *response,
                                size_t *seen)
{
    static char text[TEXT_SIZE];
    if ((size_t)response->total_size != expected->count)
        return differ(text, "«%s» in %s: %d found, not %zu: %s", plain->text, judge->account,
                      response->total_size, expected->count, surplus(judge, expected, response));
    if (response->n_query_words != expected->word_count)
        return differ(text, "«%s»: %zu words, not %zu", plain->text, response->n_query_words,
                      expected->word_count);
    if (response->indexed_position < judge->position)
        return differ(text, "«%s» in %s: position %lld", plain->text, judge->account,
                      (long long)response->indexed_position);
    for (size_t i = 0; i < response->n_results; i++, ++*seen)
        if (*seen >= expected->count ||
            !is_result(judge, response->results[i], &expected->results[*seen], expected))
            return differ(text, "«%s» in %s by %c: result %zu is %s in %zu fields, first %d, not %lld in %x",
                          plain->text, judge->account, plain->order, *seen, response->results[i]->case_,
                          response->results[i]->n_matches,
                          response->results[i]->n_matches ? (int)response->results[i]->matches[0]->field : 0,
                          *seen < expected->count ? (long long)expected->results[*seen].number : 0,
                          *seen < expected->count ? expected->results[*seen].fields[0] : 0);
    return *response->next_page_token || *seen == expected->count
               ? NULL
               : differ(text, "«%s» in %s: the pages end after %zu of %zu", plain->text, judge->account,
                        *seen, expected->count);
}

/* A query as it goes over the wire, with what it points to. */
struct asked {
    search_request request;
    Casework__Cases__V1__CaseStatus statuses[SEARCH_STATUS_DELETED];
    Casework__Search__V1__SearchField fields[SEARCH_FIELD_MESSAGE];
    char owner[200], channel[200];
};

static const char *order_text(const struct plain_query *plain)
{
    static const char *const orders[] = {"update_time",  "update_time desc", "subject",
                                         "subject desc", "status",           "status desc"};
    size_t order = plain->order == 'u' ? 0 : plain->order == 's' ? 2 : 4;
    return orders[order + (plain->descending != 0)];
}

static void put_into_words(const struct search_judge *judge, const struct plain_query *plain, int page_size,
                           arena *memory, struct asked *asked)
{
    search_request *request = &asked->request;
    casework__search__v1__search_cases_request__init(request);
    request->parent = (char *)judge->account;
    request->query = (char *)plain->text;
    request->order_by = (char *)order_text(plain);
    request->page_size = page_size;
    request->min_position = judge->position;
    request->statuses = asked->statuses;
    request->fields = asked->fields;
    for (int status = 1; status <= SEARCH_STATUS_DELETED; status++)
        if (plain->statuses >> status & 1)
            asked->statuses[request->n_statuses++] = (Casework__Cases__V1__CaseStatus)status;
    for (int field = 1; field <= SEARCH_FIELD_MESSAGE; field++)
        if (plain->fields >> (field - 1) & 1)
            asked->fields[request->n_fields++] = (Casework__Search__V1__SearchField)field;
    snprintf(asked->owner, sizeof asked->owner, "%s/agents/%s", judge->account,
             plain->owner ? plain->owner : "");
    snprintf(asked->channel, sizeof asked->channel, "%s/channels/%s", judge->account,
             plain->channel ? plain->channel : "");
    request->owner = plain->owner ? asked->owner : (char *)"";
    request->channel = plain->channel ? asked->channel : (char *)"";
    request->label = plain->label ? (char *)plain->label : (char *)"";
    request->start_time = plain->start_time_us ? wire_timestamp(memory, plain->start_time_us) : NULL;
    request->end_time = plain->end_time_us ? wire_timestamp(memory, plain->end_time_us) : NULL;
}

const char *search_judge_compare(suite *s, const struct search_judge *judge, const struct plain_query *plain,
                                 int page_size, size_t *ret_count)
{
    struct plain_answer expected;
    struct asked asked;
    const char *difference = NULL;
    size_t seen = 0;
    plain_reader_find(judge->reader, plain, &expected);
    arena *memory = arena_new(ANSWER_BYTES_MAX);
    put_into_words(judge, plain, page_size, memory, &asked);
    do {
        const search_response *response = suite_call(s, SEARCH, "SearchCases", &asked.request, memory);
        difference = compare_page(judge, plain, &expected, response, &seen);
        asked.request.page_token = response->next_page_token;
    } while (!difference && *asked.request.page_token);
    *ret_count = expected.count;
    arena_free(memory);
    plain_answer_release(&expected);
    return difference;
}

/* --- picking ------------------------------------------------------------------------------------------ */

static const struct search_document *pick_document(const struct search_judge *judge)
{
    return &judge->documents[(size_t)rand() % judge->count];
}

/* Filters are taken from some case, so that something is left of what is found. */
static void pick_filter(const struct search_judge *judge, struct plain_query *query)
{
    const struct search_document *like = pick_document(judge);
    switch (rand() % 10) {
    case 0:
        query->owner = *like->owner ? like->owner : NULL;
        break;
    case 1:
        query->channel = *like->channel ? like->channel : NULL;
        break;
    case 2:
        query->label = like->label_count ? like->labels[(size_t)rand() % like->label_count] : NULL;
        break;
    case 3:
        query->start_time_us = like->update_time_us;
        break;
    case 4:
        query->end_time_us = like->update_time_us;
        break;
    case 5:
        query->start_time_us = like->update_time_us;
        query->end_time_us = pick_document(judge)->update_time_us;
        break;
    default:
        break;
    }
}

static struct plain_query pick_query(const struct search_judge *judge, const char *text)
{
    static const unsigned every_status = (1U << (SEARCH_STATUS_DELETED + 1)) - 2;
    struct plain_query query = {.text = text, .order = "ust"[rand() % 3], .descending = rand() % 2};
    if (rand() % 2)
        query.statuses = rand() % 2 ? every_status : (unsigned)rand() & every_status;
    if (rand() % 3 == 0)
        query.fields = 1 + (unsigned)rand() % SEARCH_FIELDS_ALL;
    pick_filter(judge, &query);
    if (rand() % 4 == 0)
        pick_filter(judge, &query);
    return query;
}

const char *search_judge_ask(suite *s, const struct search_judge *judge, const char *text, size_t *ret_count)
{
    const struct plain_query query = pick_query(judge, text);
    return search_judge_compare(s, judge, &query, 1 + rand() % 60, ret_count);
}

const char *search_judge_ask_in_all_orders(suite *s, const struct search_judge *judge, const char *text,
                                           size_t *ret_count)
{
    const char *difference = NULL;
    *ret_count = 0;
    for (int i = 0; i < 6 && !difference; i++) {
        struct plain_query query = pick_query(judge, text);
        size_t count;
        query.order = "ust"[i / 2];
        query.descending = i % 2;
        difference = search_judge_compare(s, judge, &query, 1 + rand() % 60, &count);
        *ret_count += count;
    }
    return difference;
}

void search_judge_pick_word(const struct search_judge *judge, char word[SEARCH_JUDGE_WORD_SIZE])
{
    for (;;) {
        const struct search_document *document = pick_document(judge);
        const char *text = document->texts[(size_t)rand() % document->text_count].text;
        size_t length = strlen(text);
        if (length == 0)
            continue;
        text += (size_t)rand() % length;
        text += strcspn(text, " \n");
        text += strspn(text, " \n");
        size_t size = strcspn(text, " \n");
        if (size == 0 || size >= SEARCH_JUDGE_WORD_SIZE)
            continue;
        memcpy(word, text, size);
        word[size] = '\0';
        return;
    }
}
