/* Changes of many cases at once, and steps of timers. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/sla/v1/timer.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <string.h>

typedef Casework__Cases__V1__BatchUpdateCasesRequest update_request;
typedef Casework__Cases__V1__BatchUpdateCasesResponse update_response;
typedef Casework__Cases__V1__CaseChange change;

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_many, .init = setup, .fini = teardown, .timeout = 120);

static char *new_case(const char *external_id)
{
    return desk_receive(&server, "desk", external_id, external_id, "hello")->case_->name;
}

static change bare(int kind)
{
    static Casework__Cases__V1__CaseChange__Bare nothing = CASEWORK__CASES__V1__CASE_CHANGE__BARE__INIT;
    change result = CASEWORK__CASES__V1__CASE_CHANGE__INIT;
    result.change_case = (Casework__Cases__V1__CaseChange__ChangeCase)kind;
    result.resolve = &nothing; /* all members of the union are pointers */
    return result;
}

static change labels(int kind, char **list, size_t count)
{
    Casework__Cases__V1__CaseChange__LabelList *wire = arena_alloc(server.memory, sizeof *wire);
    casework__cases__v1__case_change__label_list__init(wire);
    wire->labels = list;
    wire->n_labels = count;
    change result = CASEWORK__CASES__V1__CASE_CHANGE__INIT;
    result.change_case = (Casework__Cases__V1__CaseChange__ChangeCase)kind;
    result.add_labels = wire;
    return result;
}

static update_request request_of(char **names, size_t count, change *what)
{
    update_request request = CASEWORK__CASES__V1__BATCH_UPDATE_CASES_REQUEST__INIT;
    request.parent = desk_text("accounts/acme");
    request.names = names;
    request.n_names = count;
    request.change = what;
    return request;
}

static update_response *update(char **names, size_t count, change what)
{
    update_request request = request_of(names, count, &what);
    return desk_call(&server, "anna", DESK_CASES, "BatchUpdateCases", &request);
}

/* The reason why the case was refused; "" if it was not. */
static const char *reason_of(const Casework__Cases__V1__CaseResult *result)
{
    if (result->outcome_case == CASEWORK__CASES__V1__CASE_RESULT__OUTCOME_CASE)
        return "";
    cr_assert_gt(result->error->n_details, 0);
    return (const char *)arena_printf(server.memory, "%.*s", (int)result->error->details[0]->value.len,
                                      (const char *)result->error->details[0]->value.data);
}

Test(case_many, all_valid_ones_are_done_and_each_has_its_result)
{
    char *open = new_case("a"), *deleted = new_case("b"), *merged = new_case("c"), *other = new_case("d");
    desk_step(&server, "anna", "DeleteCase", deleted);
    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    merge.source = merged;
    merge.target = other;
    desk_call(&server, "anna", DESK_CASES, "MergeCases", &merge);
    char *names[] = {open,
                     deleted,
                     desk_text("accounts/acme/cases/999"),
                     desk_text("accounts/acme/cases/x"),
                     desk_text("accounts/other/cases/1"),
                     merged,
                     other};
    update_response *done = update(names, 7, bare(CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_RESOLVE));
    cr_assert_eq(done->n_results, 7);
    for (size_t i = 0; i < 7; i++)
        cr_assert_str_eq(done->results[i]->name, names[i]);
    cr_assert_eq(done->results[0]->case_->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED);
    cr_assert_eq(done->results[1]->error->code, STATUS_FAILED_PRECONDITION);
    cr_assert(strstr(reason_of(done->results[1]), "CASE_DELETED"));
    cr_assert_eq(done->results[2]->error->code, STATUS_NOT_FOUND);
    cr_assert_eq(done->results[3]->error->code, STATUS_INVALID_ARGUMENT);
    cr_assert(strstr(reason_of(done->results[3]), "NOT_A_NUMBER"));
    cr_assert_eq(done->results[4]->error->code, STATUS_NOT_FOUND);
    cr_assert(strstr(reason_of(done->results[5]), "CASE_MERGED"));
    cr_assert_eq(done->results[6]->case_->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED);
    cr_assert_eq(desk_case(&server, open)->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED);
    cr_assert_eq((int)desk_case(&server, deleted)->status, 6);
}

/* The first time does it; the second time there is nothing left to do. */
Test(case_many, a_case_named_twice_is_changed_once)
{
    char *names[] = {new_case("a"), new_case("b"), NULL, desk_text("accounts/acme/cases/999"), NULL};
    names[2] = names[0];
    names[4] = names[3];
    static const int kinds[] = {
        CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_RESOLVE, CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REOPEN,
        CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_MARK_PENDING,
        CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_DELETE, CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_UNDELETE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        update_response *done = update(names, 5, bare(kinds[i]));
        cr_assert_eq(done->n_results, 5);
        cr_assert_not_null(done->results[0]->case_);
        cr_assert_not_null(done->results[2]->case_);
        cr_expect_eq(done->results[2]->case_->version, done->results[0]->case_->version, "%zu", i);
        cr_expect_eq(done->results[2]->case_->version, done->results[1]->case_->version,
                     "as one that is named once");
        cr_expect_str_eq(done->results[2]->name, names[0]);
        cr_expect_eq(done->results[3]->error->code, STATUS_NOT_FOUND);
        cr_expect_eq(done->results[4]->error->code, STATUS_NOT_FOUND);
    }
    cr_expect_str_eq(desk_history(&server, names[0]), desk_history(&server, names[1]));
}

Test(case_many, every_change_does_what_its_single_call_does)
{
    char *names[] = {new_case("a"), new_case("b")};
    char *both[] = {desk_text("vip"), desk_text("Contract Needed")};
    update(names, 2, labels(CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ADD_LABELS, both, 2));
    update_response *done =
        update(names, 2, labels(CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REMOVE_LABELS, both, 1));
    cr_assert_eq(done->results[1]->case_->n_labels, 1);
    cr_assert_str_eq(done->results[1]->case_->labels[0], "Contract Needed");
    cr_assert_str_eq(done->results[1]->case_->owner, "accounts/acme/agents/anna", "opened first");
    change what = CASEWORK__CASES__V1__CASE_CHANGE__INIT;
    Casework__Cases__V1__CaseChange__Assignment assign = CASEWORK__CASES__V1__CASE_CHANGE__ASSIGNMENT__INIT;
    assign.owner = desk_text("accounts/acme/agents/bob");
    what.change_case = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ASSIGN;
    what.assign = &assign;
    cr_assert_str_eq(update(names, 2, what)->results[0]->case_->owner, assign.owner);
    Casework__Cases__V1__CaseChange__PriorityValue priority =
        CASEWORK__CASES__V1__CASE_CHANGE__PRIORITY_VALUE__INIT;
    priority.priority = 7;
    what.change_case = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_SET_PRIORITY;
    what.set_priority = &priority;
    cr_assert_eq(update(names, 2, what)->results[0]->case_->priority, 7);
    Casework__Cases__V1__CaseChange__ClassificationList tags =
        CASEWORK__CASES__V1__CASE_CHANGE__CLASSIFICATION_LIST__INIT;
    Casework__Cases__V1__Classification tag = CASEWORK__CASES__V1__CLASSIFICATION__INIT, *list[] = {&tag};
    tag.group = desk_text("topic");
    tag.value = desk_text("printer");
    tags.classifications = list;
    tags.n_classifications = 1;
    what.change_case = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ADD_CLASSIFICATIONS;
    what.add_classifications = &tags;
    cr_assert_eq(update(names, 2, what)->results[0]->case_->n_classifications, 1);
    what.change_case = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REMOVE_CLASSIFICATIONS;
    cr_assert_eq(update(names, 2, what)->results[0]->case_->n_classifications, 0);
    const int kinds[] = {
        CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_MARK_PENDING,
        CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REOPEN, CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_RESOLVE,
        CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_DELETE, CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_UNDELETE};
    const int statuses[] = {3, 2, 4, 6, 4};
    for (size_t i = 0; i < 5; i++) {
        done = update(names, 2, bare(kinds[i]));
        cr_assert_eq((int)done->results[1]->case_->status, statuses[i], "change %d", kinds[i]);
    }
}

Test(case_many, the_same_batch_again_is_answered_and_does_nothing)
{
    char *names[] = {new_case("a"), desk_text("accounts/acme/cases/999"), new_case("b")};
    desk_step(&server, "anna", "DeleteCase", names[2]);
    change what = bare(CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_RESOLVE);
    update_request request = request_of(names, 3, &what);
    request.request_id = desk_text("r1");
    update_response *first = desk_call(&server, "anna", DESK_CASES, "BatchUpdateCases", &request);
    desk_step(&server, "anna", "UndeleteCase", names[2]);
    int64_t version = desk_case(&server, names[0])->version;
    update_response *again = desk_call(&server, "anna", DESK_CASES, "BatchUpdateCases", &request);
    cr_assert_eq(again->position, first->position);
    cr_assert_eq(again->results[0]->case_->version, version);
    for (size_t i = 1; i < 3; i++) {
        cr_assert_eq(again->results[i]->error->code, first->results[i]->error->code);
        cr_assert_str_eq(again->results[i]->error->message, first->results[i]->error->message);
        cr_assert_str_eq(reason_of(again->results[i]), reason_of(first->results[i]));
        cr_assert_eq(again->results[i]->error->n_details, first->results[i]->error->n_details);
    }
    cr_assert_eq((int)desk_case(&server, names[2])->status, 1, "refused then, so not done now");
    request.n_names = 1;
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "BatchUpdateCases", &request).reason,
                     "REQUEST_ID_REUSED");
}

Test(case_many, after_a_day_a_request_id_is_as_new)
{
    char *names[] = {new_case("a"), new_case("b")};
    change what = bare(CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_RESOLVE);
    update_request request = request_of(names, 2, &what);
    Casework__Cases__V1__ReopenCaseRequest reopen = CASEWORK__CASES__V1__REOPEN_CASE_REQUEST__INIT;
    request.request_id = desk_text("r1");
    reopen.name = names[0];
    reopen.request_id = desk_text("r2");
    desk_call(&server, "anna", DESK_CASES, "BatchUpdateCases", &request);
    desk_call(&server, "anna", DESK_CASES, "ReopenCase", &reopen);
    desk_call(&server, "anna", DESK_CASES, "BatchUpdateCases", &request);
    cr_assert_eq((int)desk_case(&server, names[0])->status, 2, "it was answered, not done again");
    case_server_advance(&server, CLOCK_DAY + CLOCK_SECOND);
    desk_call(&server, "anna", DESK_CASES, "BatchUpdateCases", &request);
    cr_assert_eq((int)desk_case(&server, names[0])->status, 4);
    reopen.name = names[1];
    desk_call(&server, "anna", DESK_CASES, "ReopenCase", &reopen);
    cr_assert_eq((int)desk_case(&server, names[1])->status, 2, "other content under the old id");
}

static char *long_name(size_t length)
{
    char *name = arena_alloc(server.memory, length + 1);
    memset(name, 'x', length);
    name[length] = '\0';
    return name;
}

/* Every name goes back with its result. */
Test(case_many, names_that_are_too_long_for_an_answer_are_refused)
{
    Casework__Cases__V1__BatchGetCasesRequest get = CASEWORK__CASES__V1__BATCH_GET_CASES_REQUEST__INIT;
    char *names[1000];
    get.parent = desk_text("accounts/acme");
    get.names = names;
    get.n_names = 1000;
    for (size_t i = 0; i < get.n_names; i++)
        names[i] = long_name(4000);
    error err = desk_fail(&server, "anna", DESK_CASES, "BatchGetCases", &get);
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "%s", err.message);
    cr_assert_str_eq(err.violations[0].key, "names");
    for (size_t i = 0; i < get.n_names; i++)
        names[i] = long_name(262);
    Casework__Cases__V1__BatchGetCasesResponse *all =
        desk_call(&server, "anna", DESK_CASES, "BatchGetCases", &get);
    cr_assert_eq(all->n_results, 1000);
    cr_assert_eq(all->results[999]->error->code, STATUS_INVALID_ARGUMENT);
    cr_assert_lt(protobuf_c_message_get_packed_size(&all->base), (size_t)1 << 20, "beside 3 MiB of cases");
}

Test(case_many, bad_batches_are_refused_whole)
{
    char *names[] = {new_case("a")};
    int64_t version = desk_case(&server, names[0])->version;
    change what = bare(CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_RESOLVE);
    update_request request = request_of(names, 1, &what);
    request.n_names = 0;
    error err = desk_fail(&server, "anna", DESK_CASES, "BatchUpdateCases", &request);
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(err.violations[0].key, "names");
    char *many[1001];
    for (int i = 0; i < 1001; i++)
        many[i] = arena_printf(server.memory, "accounts/acme/cases/%d", i + 1);
    request.names = many;
    request.n_names = 1001;
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "BatchUpdateCases", &request).code,
                 STATUS_INVALID_ARGUMENT);
    request.n_names = 1;
    request.names = (char *[]){long_name(256 * 1024 + 1)};
    err = desk_fail(&server, "anna", DESK_CASES, "BatchUpdateCases", &request);
    cr_assert_str_eq(err.violations[0].key, "names");
    request.names = many;
    request.change = NULL;
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "BatchUpdateCases", &request).code,
                 STATUS_INVALID_ARGUMENT);
    change to_former = CASEWORK__CASES__V1__CASE_CHANGE__INIT;
    Casework__Cases__V1__CaseChange__Assignment assign = CASEWORK__CASES__V1__CASE_CHANGE__ASSIGNMENT__INIT;
    assign.owner = desk_text("accounts/acme/agents/former");
    to_former.change_case = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ASSIGN;
    to_former.assign = &assign;
    request.change = &to_former;
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "BatchUpdateCases", &request).reason,
                     "AGENT_DISABLED");
    request = request_of(names, 1, &what);
    request.parent = desk_text("accounts/other");
    cr_assert_eq(desk_fail(&server, "", DESK_CASES, "BatchUpdateCases", &request).code, STATUS_NOT_FOUND);
    cr_assert_eq(desk_case(&server, names[0])->version, version);
}

/* Cases that together are more than one answer holds. */
static size_t import_many(char **ret_names, size_t count)
{
    Casework__Cases__V1__ImportConversationsRequest **items =
        arena_calloc(server.memory, count, sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        items[i] = case_server_conversation(&server, "acme", arena_printf(server.memory, "many-%zu", i),
                                            "Large", "c", CASE_SERVER_START_US - CLOCK_DAY);
        ret_names[i] = arena_printf(server.memory, "accounts/acme/cases/%zu", i + 1);
    }
    return (size_t)case_server_import(&server, items, count)->conversations_imported;
}

Test(case_many, a_thousand_cases_at_once_and_an_answer_that_a_client_takes)
{
    enum { COUNT = 1000 };
    char *names[COUNT], *large[20];
    cr_assert_eq(import_many(names, COUNT), COUNT);
    for (int i = 0; i < 20; i++)
        large[i] = arena_printf(server.memory, "%0250d", i);
    update_response *done =
        update(names, COUNT, labels(CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ADD_LABELS, large, 20));
    cr_assert_eq(done->n_results, COUNT);
    cr_assert_eq(done->results[0]->case_->n_labels, 20);
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(done->results[i]->outcome_case, CASEWORK__CASES__V1__CASE_RESULT__OUTCOME_CASE);
        cr_assert_str_eq(done->results[i]->case_->name, names[i]);
    }
    cr_assert_eq(done->results[COUNT - 1]->case_->n_labels, 0, "found no room: told in brief");
    cr_assert_eq(desk_case(&server, names[COUNT - 1])->n_labels, 20);
    cr_assert_str_eq(done->results[COUNT - 1]->case_->etag, desk_case(&server, names[COUNT - 1])->etag);
    /* Reading them: what finds no room is to be asked for again. */
    Casework__Cases__V1__BatchGetCasesRequest get = CASEWORK__CASES__V1__BATCH_GET_CASES_REQUEST__INIT;
    get.parent = desk_text("accounts/acme");
    get.names = names;
    get.n_names = COUNT;
    Casework__Cases__V1__BatchGetCasesResponse *read =
        desk_call(&server, "anna", DESK_CASES, "BatchGetCases", &get);
    size_t first = 0;
    while (first < COUNT &&
           read->results[first]->outcome_case == CASEWORK__CASES__V1__CASE_RESULT__OUTCOME_CASE)
        first++;
    cr_assert(first > 100 && first < COUNT);
    cr_assert_eq(read->results[first]->error->code, STATUS_RESOURCE_EXHAUSTED);
    get.names = names + first;
    get.n_names = COUNT - first;
    read = desk_call(&server, "anna", DESK_CASES, "BatchGetCases", &get);
    cr_assert_str_eq(read->results[0]->case_->name, names[first]);
}

/* --- steps of timers --------------------------------------------------------------------------------------
 */

static Casework__Cases__V1__RecordTimerStepRequest step_request(const char *name, int kind, int step,
                                                                int64_t basis, int64_t due)
{
    Casework__Cases__V1__RecordTimerStepRequest request =
        CASEWORK__CASES__V1__RECORD_TIMER_STEP_REQUEST__INIT;
    request.name = desk_text(name);
    request.kind = (Casework__Sla__V1__TimerKind)kind;
    request.step = (Casework__Sla__V1__TimerStep)step;
    request.basis_version = basis;
    request.due_time = wire_timestamp(server.memory, due);
    return request;
}

Test(case_many, a_timers_step_comes_into_the_history_once)
{
    const char *name = new_case("a");
    const int64_t due = CASE_SERVER_START_US + CLOCK_MINUTE;
    Casework__Cases__V1__RecordTimerStepRequest warn =
        step_request(name, CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_FIRST_REPLY,
                     CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_WARNED, 1, due);
    cr_assert_str_eq(desk_fail(&server, "", DESK_CASES, "RecordTimerStep", &warn).reason, "NOT_DUE");
    case_server_advance(&server, 2 * CLOCK_MINUTE);
    Casework__Cases__V1__Case *before = desk_case(&server, name);
    Casework__Cases__V1__RecordTimerStepResponse *answer =
        desk_call(&server, "", DESK_CASES, "RecordTimerStep", &warn);
    cr_assert(answer->recorded);
    cr_assert_eq(answer->case_->version, before->version + 1);
    cr_assert_eq(answer->case_->change_version, before->change_version);
    cr_assert_eq(answer->case_->update_time->seconds, before->update_time->seconds);
    answer = desk_call(&server, "", DESK_CASES, "RecordTimerStep", &warn);
    cr_assert_not(answer->recorded);
    cr_assert_eq(answer->case_->version, before->version + 1);
    const Casework__Cases__V1__Event *event = desk_last_event(&server, name, 27);
    cr_assert_eq(event->timer_step_facts->kind, warn.kind);
    cr_assert_eq(event->timer_step_facts->step, warn.step);
    cr_assert_eq(event->timer_step_facts->basis_version, 1);
    cr_assert_eq(event->timer_step_facts->due_time->seconds, due / CLOCK_SECOND);
    cr_assert_eq(event->case_facts->first_customer_message_number, 1);
    cr_assert_eq(event->case_facts->waiting_since_number, 1);
    /* Once replied to, a warning comes too late, and so does a breach that was none. */
    desk_add(&server, "anna", name, 2, "reply");
    warn.basis_version = 1;
    warn.step = CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_BREACHED;
    warn.due_time = wire_timestamp(server.memory, CASE_SERVER_START_US + 2 * CLOCK_MINUTE);
    error err = desk_fail(&server, "", DESK_CASES, "RecordTimerStep", &warn);
    cr_assert_eq(err.code, STATUS_ABORTED);
    cr_assert_str_eq(err.reason, "STALE_VERSION");
    warn.due_time = wire_timestamp(server.memory, due);
    answer = desk_call(&server, "", DESK_CASES, "RecordTimerStep", &warn);
    cr_assert(answer->recorded, "it was breached before the reply");
    warn.kind = CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_NEXT_REPLY;
    warn.basis_version = 9;
    cr_assert_str_eq(desk_fail(&server, "", DESK_CASES, "RecordTimerStep", &warn).reason, "STALE_VERSION");
}

Test(case_many, bad_timer_steps_are_refused)
{
    const char *name = new_case("a");
    Casework__Cases__V1__RecordTimerStepRequest request = step_request(name, 0, 1, 1, CASE_SERVER_START_US);
    cr_assert_eq(desk_fail(&server, "", DESK_CASES, "RecordTimerStep", &request).code,
                 STATUS_INVALID_ARGUMENT);
    request = step_request(name, 1, 4, 1, CASE_SERVER_START_US);
    cr_assert_eq(desk_fail(&server, "", DESK_CASES, "RecordTimerStep", &request).code,
                 STATUS_INVALID_ARGUMENT);
    request = step_request(name, 1, 1, 1, CASE_SERVER_START_US);
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "RecordTimerStep", &request).code,
                 STATUS_PERMISSION_DENIED);
    request = step_request("accounts/acme/cases/99", 1, 1, 1, CASE_SERVER_START_US);
    cr_assert_eq(desk_fail(&server, "", DESK_CASES, "RecordTimerStep", &request).code, STATUS_NOT_FOUND);
}
