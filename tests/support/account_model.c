#include "tests/support/account_model.h"

#include "base/clock.h"
#include "tests/support/case_script.h"

#include <stdlib.h>
#include <string.h>

enum { REQUESTS_MAX = 1 << 16, EXTERNALS_MAX = 1 << 16 };

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        abort();
    return memory;
}

void account_model_init(struct account_model *account, int64_t now, int64_t position)
{
    *account = (struct account_model){
        .setting = {.now = now},
        .position = position,
        .requests = zeroed(REQUESTS_MAX, sizeof(struct account_request)),
        .request_max = REQUESTS_MAX,
        .contact_count = ACCOUNT_GIVEN_CONTACTS,
        .external_max = EXTERNALS_MAX,
    };
    for (int channel = 1; channel <= ACCOUNT_CHANNELS; channel++)
        account->externals[channel] = zeroed(EXTERNALS_MAX, sizeof(struct account_external));
    for (int sender = 1; sender <= ACCOUNT_GIVEN_CONTACTS; sender++)
        account->contact_of[1][sender] = sender;
}

void account_model_release(struct account_model *account)
{
    free(account->requests);
    for (int channel = 1; channel <= ACCOUNT_CHANNELS; channel++)
        free(account->externals[channel]);
}

struct model_case *account_model_case(struct account_model *account, int64_t number)
{
    if (number < 1 || number > account->case_count)
        abort();
    return &account->cases[number - 1];
}

/* --- one command -------------------------------------------------------------------------------------------
 */

/* A command under way; `dry`: on a copy of its case, and without a trace in the account. */
struct work {
    struct account_model *account;
    const struct model_command *command;
    struct account_answer *answer;
    bool dry;
    struct model_case copy;
};

static void refuse(struct work *w, enum status_code code, const char *reason)
{
    w->answer->of_case.code = code;
    w->answer->of_case.reason = reason;
}

static struct model_case *case_for(struct work *w, int64_t number)
{
    struct model_case *c = account_model_case(w->account, number);
    if (!w->dry)
        return c;
    case_model_copy(&w->copy, c);
    return &w->copy;
}

static void change_case(struct work *w, int64_t number, const struct model_command *command)
{
    w->answer->number = number;
    case_model_apply(&w->account->setting, case_for(w, number), command, &w->answer->of_case);
}

static struct account_external *external_of(const struct work *w, int channel)
{
    if (w->command->external_id == 0)
        return NULL;
    if ((size_t)w->command->external_id >= w->account->external_max)
        abort();
    return &w->account->externals[channel][w->command->external_id];
}

/* A message that is there already changes nothing, ever: it is answered. */
static bool answer_known(struct work *w, const struct account_external *external)
{
    if (!external || external->number == 0)
        return false;
    w->answer->number = external->number;
    w->answer->of_case.message = external->message;
    w->answer->created = external->created;
    return true;
}

static void remember(struct work *w, struct account_external *external)
{
    if (!external || w->dry || w->answer->of_case.code != STATUS_OK)
        return;
    external->number = w->answer->number;
    external->message = w->answer->of_case.message;
    /* A first message that is as old as its case has started it, as far as anybody can tell later. */
    const struct model_case *c = account_model_case(w->account, external->number);
    external->created = external->message == 1 && c->messages[0].create_time == c->facts.create_time;
}

static void create_case(struct work *w, const struct model_command *command)
{
    struct account_model *account = w->account;
    if (account->case_count == ACCOUNT_CASES_MAX)
        abort();
    struct model_case *c = w->dry ? &w->copy : &account->cases[account->case_count];
    c->number = account->case_count + 1;
    case_model_apply(&account->setting, c, command, &w->answer->of_case);
    if (w->answer->of_case.code != STATUS_OK)
        return;
    w->answer->number = c->number;
    if (!w->dry)
        account->case_count++;
}

static void add_message(struct work *w)
{
    const struct model_command *command = w->command;
    struct account_external *external =
        external_of(w, account_model_case(w->account, command->number)->facts.channel);
    if (answer_known(w, external))
        return;
    change_case(w, command->number, command);
    remember(w, external);
}

struct model_case *account_model_end(struct account_model *account, int64_t number)
{
    struct model_case *c = account_model_case(account, number);
    return c->facts.merged_into ? account_model_end(account, c->facts.merged_into) : c;
}

/* Where the contact's newest conversation on the channel is that is not deleted; 0: there is none. */
static int64_t newest(struct account_model *account, int contact, int channel)
{
    for (int64_t number = account->case_count; number > 0; number--) {
        const struct model_facts *facts = &account->cases[number - 1].facts;
        if (facts->contact != contact || facts->channel != channel)
            continue;
        const struct model_case *end = account_model_end(account, number);
        if (end->facts.status != CASE_STATUS_DELETED)
            return end->number;
    }
    return 0;
}

static void receive(struct work *w)
{
    struct account_model *account = w->account;
    struct model_command command = *w->command;
    struct account_external *external = external_of(w, command.channel);
    if (answer_known(w, external))
        return;
    if (command.sent > account->setting.now) {
        refuse(w, STATUS_INVALID_ARGUMENT, "INVALID_FIELD");
        return;
    }
    int contact = account->contact_of[command.channel][command.contact];
    w->answer->new_contact = contact == 0;
    command.expected_version = 0;
    command.kind = MESSAGE_KIND_CUSTOMER;
    command.contact = contact ? contact : account->contact_count + 1;
    int64_t number = newest(account, command.contact, command.channel);
    w->answer->created = number == 0;
    if (!w->dry && contact == 0)
        account->contact_of[w->command->channel][w->command->contact] = ++account->contact_count;
    command.verb = number ? MODEL_ADD_MESSAGE : MODEL_CREATE;
    command.has_message = true;
    if (number)
        change_case(w, number, &command);
    else
        create_case(w, &command);
    remember(w, external);
}

static void set_setting(struct work *w)
{
    w->answer->settings = w->account->setting.reopen_resolved != w->command->setting;
    if (!w->dry)
        w->account->setting.reopen_resolved = w->command->setting;
}

/* --- several cases at once ---------------------------------------------------------------------------------
 */

bool account_model_knows(const struct account_model *account, const struct model_command *command)
{
    bool known = command->number <= account->case_count && command->target <= account->case_count;
    for (int i = 0; i < command->batch_count; i++)
        known = known && command->batch[i] <= account->case_count;
    return known;
}

/* All that are merged into the target. */
static int merged_into(struct account_model *account, int64_t target, struct model_case **ret_cases)
{
    int count = 0;
    for (int i = 0; i < account->case_count; i++) {
        if (account->cases[i].facts.merged_into == target)
            ret_cases[count++] = &account->cases[i];
    }
    return count;
}

bool account_model_reads_by_time(const struct account_model *account, int64_t number)
{
    for (int i = 0; i < account->case_count; i++) {
        if (account->cases[i].facts.merged_into == number)
            return true;
    }
    return false;
}

static void merge(struct account_model *account, const struct model_command *command,
                  struct account_answer *answer)
{
    struct model_case *source = account_model_case(account, command->number);
    int64_t into = command->verb == MODEL_MERGE ? command->target : source->facts.merged_into;
    struct model_case *target = into ? account_model_case(account, into) : source;
    struct model_case *others[ACCOUNT_CASES_MAX];
    if (command->verb == MODEL_MERGE)
        case_model_merge(&account->setting, source, target, command, &answer->of_case);
    else
        case_model_unmerge(&account->setting, source, target, others,
                           merged_into(account, target->number, others), command, &answer->of_case);
    answer->number = target->number;
    answer->source = source->number;
}

/* Each case is done or refused for itself. */
static void run_batch(struct account_model *account, const struct model_command *command,
                      struct account_answer *answer)
{
    struct model_answer one;
    struct model_answer *all = &answer->of_case;
    for (int i = 0; i < command->batch_count; i++) {
        struct model_command single = *command;
        single.verb = command->act;
        single.number = command->batch[i];
        case_model_apply(&account->setting, account_model_case(account, single.number), &single, &one);
        answer->results[i] = (struct account_result){one.code, one.reason};
        if (all->event_count + one.event_count > MODEL_EVENTS_MAX)
            abort();
        memcpy(all->events + all->event_count, one.events, (size_t)one.event_count * sizeof *one.events);
        all->event_count += one.event_count;
    }
}

/* --- sessions ----------------------------------------------------------------------------------------------
 */

static void open_tab(struct work *w)
{
    struct account_session *session = &w->account->sessions[w->command->session];
    change_case(w, w->command->number, w->command);
    if (!w->dry)
        model_list_add(&session->tabs, (int)w->command->number);
}

static void close_tab(struct work *w)
{
    struct account_session *session = &w->account->sessions[w->command->session];
    if (model_list_has(&session->tabs, (int)w->command->number))
        change_case(w, w->command->number, w->command);
    if (!w->dry)
        model_list_remove(&session->tabs, (int)w->command->number);
}

/* Its tabs go with it, in the order of opening. */
static void end_session(struct work *w)
{
    struct account_session *session = &w->account->sessions[w->command->session];
    for (int i = 0; i < session->tabs.count; i++)
        case_model_leave(&w->account->setting, case_for(w, session->tabs.items[i]), w->command,
                         &w->answer->of_case);
    if (!w->dry)
        *session = (struct account_session){0};
}

static void attach(struct work *w)
{
    struct account_model *account = w->account;
    if (w->command->session != ++account->session_count || account->session_count > MODEL_SESSIONS_MAX)
        abort();
    account->setting.session_agents[w->command->session] = w->command->actor.agent;
    account->sessions[w->command->session].alive = true;
}

static void run_session(struct work *w)
{
    switch (w->command->verb) {
    case MODEL_ATTACH:
        attach(w);
        break;
    case MODEL_OPEN_TAB:
        open_tab(w);
        break;
    case MODEL_CLOSE_TAB:
        close_tab(w);
        break;
    default:
        if (w->command->verb == MODEL_LOG_OUT || w->account->setting.no_grace)
            end_session(w);
    }
}

/* Without a trace: on other cases, as many as there are. */
static void run_together(struct work *w)
{
    struct account_model *account = w->account, *spare = NULL;
    if (w->dry) {
        spare = malloc(sizeof *spare);
        if (!spare)
            abort();
        spare->setting = account->setting;
        spare->case_count = account->case_count;
        for (int i = 0; i < account->case_count; i++)
            case_model_copy(&spare->cases[i], &account->cases[i]);
        account = spare;
    }
    if (w->command->verb == MODEL_BATCH)
        run_batch(account, w->command, w->answer);
    else
        merge(account, w->command, w->answer);
    free(spare);
}

/* --- who may -----------------------------------------------------------------------------------------------
 */

static const char *message_denied(const struct model_command *command)
{
    bool by_agent = command->actor.kind == ACTOR_KIND_AGENT;
    switch (command->kind) {
    case MESSAGE_KIND_AGENT:
        return by_agent || command->automatic ? NULL : "MESSAGE_KIND_NOT_ALLOWED";
    case MESSAGE_KIND_NOTE:
        return by_agent ? NULL : "MESSAGE_KIND_NOT_ALLOWED";
    case MESSAGE_KIND_CUSTOMER:
    case MESSAGE_KIND_FROM_THIRD_PARTY:
        return by_agent ? "MESSAGE_KIND_NOT_ALLOWED" : NULL;
    case MESSAGE_KIND_SURVEY:
        return NULL;
    default:
        return "MESSAGE_KIND_NOT_ALLOWED";
    }
}

static const char *denied(const struct model_command *command)
{
    if (command->verb == MODEL_BREAK_LOCK && command->actor.kind == ACTOR_KIND_AGENT &&
        command->actor.agent != MODEL_ADMIN)
        return "NOT_AN_ADMIN";
    bool writes_note = command->verb == MODEL_FORWARD_CASE || command->verb == MODEL_FORWARD_MESSAGE;
    if (writes_note && command->note && command->agent && command->actor.kind != ACTOR_KIND_AGENT)
        return "MESSAGE_KIND_NOT_ALLOWED";
    if (command->verb == MODEL_ADD_MESSAGE || (command->verb == MODEL_CREATE && command->has_message))
        return message_denied(command);
    return NULL;
}

/* --- never twice -------------------------------------------------------------------------------------------
 */

static struct account_request *request_of(const struct work *w)
{
    if (w->command->request_id == 0)
        return NULL;
    if ((size_t)w->command->request_id >= w->account->request_max)
        abort();
    return &w->account->requests[w->command->request_id];
}

/* A copy that came by a merge is gone when that was undone. */
static bool is_there(const struct account_model *account, int64_t number, int message)
{
    return message && account->cases[number - 1].messages[message - 1].kind != MESSAGE_KIND_NONE;
}

/* What the same request did in the last 24 hours; true: that is the answer. */
static bool answer_repeated(struct work *w, const struct account_request *request)
{
    if (!request || !request->used || w->account->setting.now - request->time > CLOCK_DAY)
        return false;
    if (request->content != w->command->content) {
        refuse(w, STATUS_INVALID_ARGUMENT, "REQUEST_ID_REUSED");
        return true;
    }
    w->answer->repeated = true;
    w->answer->position = request->position;
    w->answer->number = request->number;
    w->answer->source = request->source;
    memcpy(w->answer->results, request->results, sizeof request->results);
    if (is_there(w->account, request->number, request->message))
        w->answer->of_case.message = request->message;
    w->answer->created = request->created;
    return true;
}

static void run(struct work *w)
{
    switch (w->command->verb) {
    case MODEL_MERGE:
    case MODEL_UNMERGE:
    case MODEL_BATCH:
        run_together(w);
        break;
    case MODEL_CREATE:
        create_case(w, w->command);
        break;
    case MODEL_RECEIVE:
        receive(w);
        break;
    case MODEL_SETTING:
        set_setting(w);
        break;
    case MODEL_ADD_MESSAGE:
        add_message(w);
        break;
    case MODEL_ATTACH:
    case MODEL_CUT:
    case MODEL_LOG_OUT:
    case MODEL_OPEN_TAB:
    case MODEL_CLOSE_TAB:
        run_session(w);
        break;
    default:
        change_case(w, w->command->number, w->command);
    }
}

static void carry_out(struct work *w, struct account_model *account, const struct model_command *command,
                      struct account_answer *answer, bool dry)
{
    w->account = account;
    w->command = command;
    w->answer = answer;
    w->dry = dry;
    const char *why = denied(command);
    struct account_request *request = request_of(w);
    answer->repeated = answer->new_contact = answer->settings = answer->created = false;
    answer->number = answer->source = answer->position = 0;
    memset(answer->results, 0, sizeof answer->results);
    answer->of_case.code = STATUS_OK;
    answer->of_case.reason = "";
    answer->of_case.message = answer->of_case.event_count = 0;
    if (why) {
        refuse(w, STATUS_PERMISSION_DENIED, why);
        return;
    }
    if (answer_repeated(w, request))
        return;
    run(w);
    if (answer->of_case.code != STATUS_OK)
        return;
    answer->position =
        w->account->position + answer->new_contact + answer->settings + answer->of_case.event_count;
    if (w->dry)
        return;
    w->account->position = answer->position;
    if (request)
        *request = (struct account_request){.used = true,
                                            .time = w->account->setting.now,
                                            .content = w->command->content,
                                            .position = answer->position,
                                            .number = answer->number,
                                            .source = answer->source,
                                            .message = answer->of_case.message,
                                            .created = answer->created};
    if (request)
        memcpy(request->results, answer->results, sizeof request->results);
}

void account_model_apply(struct account_model *account, const struct model_command *command,
                         struct account_answer *ret_answer)
{
    struct work w; /* large, and the copy in it is made only when it is needed */
    carry_out(&w, account, command, ret_answer, false);
}

void account_model_peek(const struct account_model *account, const struct model_command *command,
                        struct account_answer *ret_answer)
{
    struct work w;
    struct account_model *same = (struct account_model *)(uintptr_t)account; /* a dry run changes nothing */
    carry_out(&w, same, command, ret_answer, true);
}
