/* ListCases with filters: every answer against a plain reader of all cases. */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 30, QUERIES = 250 };

typedef Casework__Cases__V1__Case case_wire;
typedef Casework__Cases__V1__ListCasesRequest query;

static struct case_server server;
static const case_wire *all[COUNT];
static uint64_t state;
static int64_t now; /* once all are there */

static int dice(int sides)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((state >> 33) % (uint64_t)sides);
}

static int64_t time_of(const Google__Protobuf__Timestamp *time)
{
    return time == NULL ? 0 : time->seconds * CLOCK_SECOND + time->nanos / 1000;
}

static const char *const owners[] = {"", "accounts/acme/agents/anna", "accounts/acme/agents/bob"};
static const char *const channels[] = {"accounts/acme/channels/desk", "accounts/acme/channels/mail"};
static const char *const tags[] = {"vip", "Contract Needed", "late"};
static const char *const subjects[] = {"Printer", "apple", "printer", "", "Zebra"};
static const char *const values[] = {"good", "bad"};

/* Some of the three labels, by the bits of `which`. */
static size_t some_labels(int which, char **ret_labels)
{
    size_t count = 0;
    for (int i = 0; i < 3; i++) {
        if ((which & 1 << i) != 0)
            ret_labels[count++] = desk_text(tags[i]);
    }
    return count;
}

/* The last two are opened, each later than all before, whatever the dice say. */
static void create(int number, char *const contacts[3])
{
    bool last = number >= COUNT - 2;
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    case_wire wire = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Classification tag = CASEWORK__CASES__V1__CLASSIFICATION__INIT, *list[] = {&tag};
    char *labels[3];
    request.parent = desk_text("accounts/acme");
    request.case_ = &wire;
    wire.channel = desk_text(channels[dice(2)]);
    wire.contact = contacts[dice(3)];
    wire.owner = desk_text(owners[dice(3)]);
    wire.subject = desk_text(subjects[dice(5)]);
    wire.labels = labels;
    wire.n_labels = some_labels(dice(8), labels);
    tag.group = desk_text(dice(2) == 0 ? "sentiment" : "topic");
    tag.value = desk_text(values[dice(2)]);
    wire.classifications = list;
    wire.n_classifications = (size_t)dice(2);
    Casework__Cases__V1__CreateCaseResponse *created =
        desk_call(&server, "", DESK_CASES, "CreateCase", &request);
    int64_t later = (int64_t)(dice(5) + last) * 30 * CLOCK_MINUTE;
    case_server_advance(&server, later);
    now = time_of(created->case_->create_time) + later;
    if (dice(2) == 0 || last)
        desk_step(&server, "bob", "OpenCase", created->case_->name);
    if (dice(4) == 0)
        desk_add(&server, "anna", created->case_->name, CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT,
                 "let me see");
    if (dice(4) == 0)
        desk_step(&server, "bob", "ResolveCase", created->case_->name);
    if (dice(8) == 0 && !last)
        desk_step(&server, "bob", "DeleteCase", created->case_->name);
    all[number] = desk_case(&server, created->case_->name);
}

static void setup(void)
{
    desk_start(&server);
    const char *given = getenv("CASEWORK_SEED");
    state = given ? strtoull(given, NULL, 10) : (uint64_t)clock_monotonic_us();
    fprintf(stderr, "CASEWORK_SEED=%" PRIu64 "\n", state);
    char *contacts[3];
    for (int i = 0; i < 3; i++) {
        char *sender = arena_printf(server.memory, "person-%d", i);
        const case_wire *found = desk_receive(&server, "desk", sender, sender, "hello")->case_;
        contacts[i] = found->contact;
        desk_step(&server, "anna", "DeleteCase", found->name);
        all[i] = desk_case(&server, found->name);
    }
    for (int i = 3; i < COUNT; i++)
        create(i, contacts);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_filters, .init = setup, .fini = teardown, .timeout = 120);

/* --- the plain reader -------------------------------------------------------------------------------------
 */

static bool has_label(const case_wire *one, const char *label)
{
    for (size_t i = 0; i < one->n_labels; i++) {
        if (strcmp(one->labels[i], label) == 0)
            return true;
    }
    return false;
}

static bool is_classified(const case_wire *one, const Casework__Cases__V1__Classification *wanted)
{
    for (size_t i = 0; i < one->n_classifications; i++) {
        if (strcmp(one->classifications[i]->group, wanted->group) == 0 &&
            (!*wanted->value || strcmp(one->classifications[i]->value, wanted->value) == 0))
            return true;
    }
    return false;
}

static bool is_involved(const case_wire *one, const char *agent)
{
    for (size_t i = 0; i < one->n_involved_agents; i++) {
        if (strcmp(one->involved_agents[i], agent) == 0)
            return true;
    }
    return false;
}

static bool is_before(const Google__Protobuf__Timestamp *a, const Google__Protobuf__Timestamp *b)
{
    return a->seconds < b->seconds || (a->seconds == b->seconds && a->nanos < b->nanos);
}

static bool is_found(const query *wanted, const case_wire *one)
{
    int status = (int)one->status, folder = (int)wanted->folder;
    bool in = folder == 1    ? status != 6
              : folder == 8  ? status <= 3 && strcmp(one->owner, owners[1]) == 0
              : folder == 9  ? status <= 3 && !*one->owner
              : folder == 10 ? status <= 5 && time_of(one->open_time) >= now - CLOCK_DAY
              : folder == 11 ? status <= 4 && one->need_reply
              : folder == 12 ? status <= 4 && is_involved(one, owners[1])
                             : status == folder - 1;
    for (size_t i = 0; i < wanted->n_labels; i++)
        in = in && has_label(one, wanted->labels[i]);
    return in && (!*wanted->owner || strcmp(one->owner, wanted->owner) == 0) &&
           (!*wanted->channel || strcmp(one->channel, wanted->channel) == 0) &&
           (!*wanted->contact || strcmp(one->contact, wanted->contact) == 0) &&
           (wanted->classification == NULL || is_classified(one, wanted->classification)) &&
           (wanted->start_time == NULL || !is_before(one->update_time, wanted->start_time)) &&
           (wanted->end_time == NULL || is_before(one->update_time, wanted->end_time));
}

static long number_of(const case_wire *one)
{
    return strtol(strrchr(one->name, '/') + 1, NULL, 10);
}

static const char *order;

static int compare(const void *a, const void *b)
{
    const case_wire *x = *(const case_wire *const *)a, *y = *(const case_wire *const *)b;
    int64_t left = *order == 'u' ? time_of(x->update_time) : (int64_t)x->status;
    int64_t right = *order == 'u' ? time_of(y->update_time) : (int64_t)y->status;
    int result = (left > right) - (left < right);
    if (strncmp(order, "subject", 7) == 0)
        result = strcasecmp(x->subject, y->subject);
    if (result == 0)
        result = (number_of(x) > number_of(y)) - (number_of(x) < number_of(y));
    return strstr(order, "desc") ? -result : result;
}

static size_t find(const query *wanted, const case_wire *ret_found[COUNT])
{
    size_t count = 0;
    for (int i = 0; i < COUNT; i++) {
        if (is_found(wanted, all[i]))
            ret_found[count++] = all[i];
    }
    order = wanted->order_by;
    qsort(ret_found, count, sizeof(void *), compare);
    return count;
}

/* --- queries ----------------------------------------------------------------------------------------------
 */

/* The time of some case, or the nanosecond after it. */
static Google__Protobuf__Timestamp *some_bound(void)
{
    Google__Protobuf__Timestamp *bound =
        arena_memdup(server.memory, all[dice(COUNT)]->update_time, sizeof *bound);
    bound->nanos += dice(2);
    return bound;
}

static void make_query(query *wanted, char **labels, Casework__Cases__V1__Classification *tag)
{
    static const char *const orders[] = {"update_time",  "update_time desc", "subject",
                                         "subject desc", "status",           "status desc"};
    static const int folders[] = {1, 1, 2, 3, 5, 7, 8, 9, 10, 10, 11, 12};
    casework__cases__v1__list_cases_request__init(wanted);
    casework__cases__v1__classification__init(tag);
    wanted->parent = desk_text("accounts/acme");
    wanted->agent = desk_text(owners[1]);
    wanted->folder = (Casework__Cases__V1__Folder)folders[dice(12)];
    wanted->order_by = desk_text(orders[dice(6)]);
    wanted->page_size = 1 + dice(6);
    wanted->labels = labels;
    wanted->n_labels = dice(2) == 0 ? some_labels(dice(8), labels) : 0;
    if (dice(3) == 0)
        wanted->owner = desk_text(owners[dice(3)]);
    if (dice(3) == 0)
        wanted->channel = desk_text(channels[dice(2)]);
    if (dice(3) == 0)
        wanted->contact = all[dice(COUNT)]->contact;
    if (dice(3) == 0) {
        tag->group = desk_text(dice(2) == 0 ? "sentiment" : "topic");
        tag->value = desk_text(dice(2) == 0 ? "" : values[dice(2)]);
        wanted->classification = tag;
    }
    if (dice(3) == 0)
        wanted->start_time = some_bound();
    if (dice(3) == 0)
        wanted->end_time = some_bound();
}

/* A page of what is found from `seen` on; the query goes on behind it. */
static size_t see_page(query *wanted, const case_wire *const *found, size_t count, size_t seen)
{
    const Casework__Cases__V1__ListCasesResponse *page =
        desk_call(&server, "anna", DESK_CASES, "ListCases", wanted);
    cr_assert_leq(page->n_cases, (size_t)wanted->page_size);
    for (size_t k = 0; k < page->n_cases; k++, seen++) {
        cr_assert_lt(seen, count);
        cr_assert_str_eq(page->cases[k]->name, found[seen]->name, "place %zu of folder %d by %s", seen,
                         (int)wanted->folder, wanted->order_by);
    }
    wanted->page_token = page->next_page_token;
    return seen;
}

/* How many there are, after all pages were compared. */
static size_t walk(query *wanted)
{
    const case_wire *found[COUNT];
    size_t count = find(wanted, found), seen = 0;
    do {
        seen = see_page(wanted, found, count, seen);
    } while (*wanted->page_token);
    cr_assert_eq(seen, count, "folder %d by %s", (int)wanted->folder, wanted->order_by);
    return count;
}

static void plain_query(query *wanted, Casework__Cases__V1__Folder folder)
{
    casework__cases__v1__list_cases_request__init(wanted);
    wanted->parent = desk_text("accounts/acme");
    wanted->folder = folder;
    wanted->order_by = desk_text("subject");
    wanted->page_size = 7;
}

Test(case_filters, every_filter_in_every_order_agrees_with_a_plain_reader)
{
    query wanted;
    plain_query(&wanted, CASEWORK__CASES__V1__FOLDER__FOLDER_ALL);
    size_t alive = walk(&wanted);
    plain_query(&wanted, CASEWORK__CASES__V1__FOLDER__FOLDER_DELETED);
    cr_assert_eq(alive + walk(&wanted), COUNT);
    for (int i = 0; i < QUERIES; i++) {
        char *labels[3];
        Casework__Cases__V1__Classification tag;
        make_query(&wanted, labels, &tag);
        walk(&wanted);
    }
}

static size_t found_between(Google__Protobuf__Timestamp *start, Google__Protobuf__Timestamp *end)
{
    query wanted;
    plain_query(&wanted, CASEWORK__CASES__V1__FOLDER__FOLDER_ALL);
    wanted.start_time = start;
    wanted.end_time = end;
    return walk(&wanted);
}

Test(case_filters, a_bound_counts_to_the_nanosecond)
{
    Google__Protobuf__Timestamp at = *all[COUNT - 1]->update_time, after = at;
    Google__Protobuf__Timestamp beginning = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    after.nanos++;
    cr_assert_eq(found_between(&at, &after), 1);
    cr_assert_eq(found_between(&after, NULL), 0, "it was before, and is the last");
    cr_assert_eq(found_between(&at, &at), 0);
    cr_assert_eq(found_between(NULL, &beginning), 0, "1970 is a bound like any other");
}

/* Recent means the 24 hours before the walk began, however long it takes. */
Test(case_filters, a_walk_through_recent_may_take_days)
{
    query wanted;
    const case_wire *found[COUNT];
    plain_query(&wanted, CASEWORK__CASES__V1__FOLDER__FOLDER_RECENT);
    wanted.order_by = desk_text("status");
    wanted.page_size = 1;
    size_t count = find(&wanted, found), seen = see_page(&wanted, found, count, 0);
    cr_assert_geq(count, 2, "the last two were opened just now");
    while (*wanted.page_token) {
        case_server_advance(&server, 20 * CLOCK_HOUR);
        seen = see_page(&wanted, found, count, seen);
    }
    cr_assert_eq(seen, count);
}
