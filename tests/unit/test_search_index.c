#include "search/search_index.h"
#include "search/search_words.h"
#include "tests/support/plain_search.h"
#include "text/fold.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- documents ---------------------------------------------------------------------------------------- */

enum { TEXTS_MAX = 24, LABELS_MAX = 4 };

struct draft {
    struct search_document document;
    struct search_text texts[TEXTS_MAX];
    const char *labels[LABELS_MAX];
    char id[24], subject[200], note[200], messages[8][200];
};

static void add_text(struct draft *draft, enum search_field field, const char *text)
{
    draft->texts[draft->document.text_count++] = (struct search_text){field, text};
}

static void begin(struct draft *draft, int64_t number, const char *subject)
{
    memset(draft, 0, sizeof *draft);
    snprintf(draft->id, sizeof draft->id, "%lld", (long long)number);
    snprintf(draft->subject, sizeof draft->subject, "%s", subject);
    draft->document = (struct search_document){.number = number,
                                               .position = 1,
                                               .update_time_us = number * 1000,
                                               .status = 1,
                                               .subject = draft->subject,
                                               .owner = "",
                                               .channel = "mail",
                                               .contact = "",
                                               .labels = draft->labels,
                                               .texts = draft->texts};
    add_text(draft, SEARCH_FIELD_SUBJECT, draft->subject);
    add_text(draft, SEARCH_FIELD_CASE_ID, draft->id);
}

static void add_label(struct draft *draft, const char *label)
{
    draft->labels[draft->document.label_count++] = label;
    add_text(draft, SEARCH_FIELD_LABEL, label);
}

static const char *const vocabulary[] = {
    "contract",      "Contract",   "CONTRACT", "invoice", "Straße", "STRASSE",   "O'Brien", "e-mail",
    "a.b@c.com",     "refund",     "Refund!",  "42",      "late",   "broken",    "«odd»",   "naïve",
    "NAI\xcc\x88VE", "全角　空白", "ΣΊΣΥΦΟΣ",  "σίσυφος", "phone",  "+31 (0)20", "urgent?", "thanks",
    "hello",         "hello",      "the",      "the",     "the",    "a",         "I",       "to",
};

static const char *pick(void)
{
    return vocabulary[(size_t)rand() % (sizeof vocabulary / sizeof *vocabulary)];
}

static void write_text(char *text, size_t size, int words)
{
    *text = '\0';
    for (int i = 0; i < words; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i ? " " : "", pick());
    }
}

static const char *const owners[] = {"", "ann", "bob", "cem"};
static const char *const channels[] = {"mail", "chat"};
static const char *const contacts[] = {"", "k1", "k2", "k3", "k4"};
static const char *const labels[] = {"Contract Needed", "contract needed", "VIP", "Straße", "refund"};

/* What a contact has stands in all its cases; `round` is how often it has been renamed. */
static const char *contact_name(size_t contact, unsigned round)
{
    static const char *const names[] = {"Ann O'Brien", "Jürgen Weiß", "J\xc3\x9cRGEN WEISS", "Noname",
                                        "the contract"};
    return names[(contact + round) % 5];
}

static void generate(struct draft *draft, int64_t number, int64_t version, const unsigned *rounds)
{
    char subject[160];
    write_text(subject, sizeof subject, rand() % 4);
    begin(draft, number, subject);
    size_t contact = (size_t)rand() % 5;
    draft->document.position = version;
    draft->document.update_time_us = 1000 + rand() % 60;
    draft->document.status = 1 + rand() % 6;
    draft->document.need_reply = rand() % 2;
    draft->document.owner = owners[rand() % 4];
    draft->document.channel = channels[rand() % 2];
    draft->document.contact = contacts[contact];
    if (contact) {
        add_text(draft, SEARCH_FIELD_CONTACT_NAME, contact_name(contact, rounds[contact]));
        add_text(draft, SEARCH_FIELD_CONTACT_EMAIL, "a.b@c.com");
        add_text(draft, SEARCH_FIELD_CONTACT_PHONE, "+31 (0)20-1234567");
    }
    for (int i = rand() % 3; i > 0; i--)
        add_label(draft, labels[rand() % 5]);
    write_text(draft->note, sizeof draft->note, rand() % 3);
    add_text(draft, SEARCH_FIELD_CONTACT_NOTE, draft->note);
    for (int i = rand() % 8; i > 0; i--) {
        write_text(draft->messages[i], sizeof draft->messages[i], rand() % 8);
        add_text(draft, SEARCH_FIELD_MESSAGE, draft->messages[i]);
    }
}

/* --- asking both -------------------------------------------------------------------------------------- */

static void generate_query(struct plain_query *query, char *text, size_t size)
{
    static const char orders[] = "ust";
    write_text(text, size, rand() % 4);
    *query = (struct plain_query){.text = text, .order = orders[rand() % 3], .descending = rand() % 2};
    if (rand() % 3 == 0)
        query->fields = (unsigned)(1 + rand() % 255);
    if (rand() % 3 == 0)
        query->statuses = (unsigned)(1 + rand() % 63) << 1;
    if (rand() % 4 == 0)
        query->owner = owners[1 + rand() % 3];
    if (rand() % 4 == 0)
        query->channel = channels[rand() % 2];
    if (rand() % 4 == 0)
        query->label = rand() % 8 ? labels[rand() % 5] : "contract";
    if (rand() % 4 == 0)
        query->start_time_us = 1000 + rand() % 60;
    if (rand() % 4 == 0)
        query->end_time_us = 1000 + rand() % 60;
}

static struct search_query translate(const struct plain_query *plain, arena *memory)
{
    struct search_query query = {
        .fields = plain->fields ? (uint8_t)plain->fields : SEARCH_FIELDS_ALL,
        .statuses = plain->statuses ? plain->statuses : ~SEARCH_STATUS_BIT(SEARCH_STATUS_DELETED),
        .owner = plain->owner,
        .channel = plain->channel,
        .label = plain->label,
        .start_time_us = plain->start_time_us ? plain->start_time_us : INT64_MIN,
        .end_time_us = plain->end_time_us ? plain->end_time_us : INT64_MAX,
        .order = plain->order == 's'   ? SEARCH_ORDER_SUBJECT
                 : plain->order == 't' ? SEARCH_ORDER_STATUS
                                       : SEARCH_ORDER_UPDATE_TIME,
        .descending = plain->descending,
    };
    error err;
    cr_assert(search_query_words(plain->text, memory, &query.words, &query.word_count, &err));
    return query;
}

static void expect_page(const struct search_answer *page, const struct plain_answer *expected, size_t from,
                        size_t word_count)
{
    cr_assert_eq(page->total, expected->count);
    for (size_t i = 0; i < page->count; i++) {
        const struct plain_result *result = &expected->results[from + i];
        cr_assert_eq(page->results[i].number, result->number);
        for (size_t word = 0; word < word_count; word++)
            cr_assert_eq(page->results[i].fields[word], result->fields[word]);
    }
}

/* All pages of any size, put together, are what the plain reader finds. */
static size_t expect_same(search_index *index, const char *account, const struct plain_reader *reader,
                          const struct plain_query *plain)
{
    struct plain_answer expected;
    plain_reader_find(reader, plain, &expected);
    arena *memory = arena_new(8 << 20);
    struct search_query query = translate(plain, memory);
    cr_assert_eq(query.word_count, expected.word_count);
    for (size_t i = 0; i < query.word_count; i++)
        cr_assert_str_eq(query.words[i], expected.words[i]);

    struct search_cursor after;
    size_t seen = 0;
    for (bool more = true; more;) {
        struct search_answer page;
        error err;
        query.limit = 1 + (size_t)rand() % 40;
        cr_assert(search_index_query(index, account, &query, memory, &page, &err));
        cr_assert(search_answer_read(&page, memory));
        cr_assert(seen + page.count <= expected.count);
        expect_page(&page, &expected, seen, query.word_count);
        seen += page.count;
        more = page.more;
        cr_assert(!more || page.count == query.limit);
        after = page.last;
        search_answer_release(&page);
        query.after = &after;
    }
    cr_assert_eq(seen, expected.count);
    arena_free(memory);
    plain_answer_release(&expected);
    return seen;
}

static search_index *new_index(void)
{
    search_index *index;
    error err;
    cr_assert(search_index_new(&index, &err));
    return index;
}

static void put(search_index *index, const char *account, const struct draft *draft)
{
    error err;
    const struct search_change change = {.number = draft->document.number, .document = &draft->document};
    cr_assert(search_index_apply(index, account, &change, 1, &err));
}

static void take_out(search_index *index, const char *account, int64_t number)
{
    error err;
    const struct search_change change = {.number = number, .document = NULL};
    cr_assert(search_index_apply(index, account, &change, 1, &err));
}

/* --- tests -------------------------------------------------------------------------------------------- */

enum { CASES = 150, ROUNDS = 60, CHANGES = 40, QUERIES = 30 };

/* The index and the judge, who live through the same. */
struct world {
    search_index *index;
    struct plain_reader *reader;
    struct draft drafts[CASES];
    bool present[CASES];
    unsigned contact_rounds[5];
    int64_t version;
};

/* One batch of changes, each case once. */
struct batch {
    struct search_change changes[CASES];
    size_t count;
};

static struct search_change *change_of(struct batch *batch, int64_t number)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->changes[i].number == number)
            return &batch->changes[i];
    batch->changes[batch->count] = (struct search_change){.number = number};
    return &batch->changes[batch->count++];
}

static void apply(struct world *world, struct batch *batch)
{
    error err;
    cr_assert(search_index_apply(world->index, "acme", batch->changes, batch->count, &err));
    batch->count = 0;
}

/* The contact of one of the cases gets another name: every case of it is to be filed anew. */
static void rename_contact(struct world *world, size_t contact)
{
    world->contact_rounds[contact]++;
    arena *memory = arena_new(1 << 20);
    int64_t *numbers;
    size_t count, expected = 0;
    error err;
    cr_assert(search_index_contact_cases(world->index, "acme", contacts[contact], INT64_MAX, memory, &numbers,
                                         &count, &err));
    for (size_t i = 0; i < CASES; i++)
        expected += world->present[i] && strcmp(world->drafts[i].document.contact, contacts[contact]) == 0;
    cr_assert_eq(count, expected);
    struct batch batch = {.count = 0};
    for (size_t i = 0; i < count; i++) {
        struct draft *draft = &world->drafts[numbers[i]];
        cr_assert(world->present[numbers[i]]);
        for (size_t text = 0; text < draft->document.text_count; text++)
            if (draft->texts[text].field == SEARCH_FIELD_CONTACT_NAME)
                draft->texts[text].text = contact_name(contact, world->contact_rounds[contact]);
        change_of(&batch, numbers[i])->document = &draft->document;
        plain_reader_put(world->reader, &draft->document);
    }
    apply(world, &batch);
    arena_free(memory);
}

static void change(struct world *world, struct batch *batch)
{
    size_t at = 1 + (size_t)rand() % (CASES - 1);
    struct search_change *change = change_of(batch, (int64_t)at);
    if (rand() % 8 == 0) {
        change->document = NULL;
        plain_reader_remove(world->reader, (int64_t)at);
        world->present[at] = false;
        return;
    }
    generate(&world->drafts[at], (int64_t)at, ++world->version, world->contact_rounds);
    change->document = &world->drafts[at].document;
    plain_reader_put(world->reader, &world->drafts[at].document);
    world->present[at] = true;
}

/* Changes in batches of up to `batch_max` cases, with queries in between. Now and then the account is built
 * anew, and changed while that goes on. */
static void live_through(int rounds, size_t batch_max)
{
    static struct world world;
    world.index = new_index();
    world.reader = plain_reader_new();
    size_t found = 0;
    for (int round = 0; round < rounds; round++) {
        struct batch batch = {.count = 0};
        bool anew = round % 7 == 3;
        uint64_t build = 0;
        error err;
        if (anew) {
            cr_assert(search_index_build_begin(world.index, "acme", &build, &err));
            for (size_t i = 0; i < CASES; i++)
                if (world.present[i])
                    cr_assert(
                        search_index_build_put(world.index, "acme", build, &world.drafts[i].document, &err));
        }
        for (int i = 0; i < CHANGES; i++) {
            change(&world, &batch);
            if (batch.count >= batch_max || rand() % 8 == 0)
                apply(&world, &batch);
        }
        apply(&world, &batch);
        rename_contact(&world, 1 + (size_t)rand() % 4);
        if (anew)
            cr_assert(search_index_build_end(world.index, "acme", build, true, &err));
        if (rand() % 4 == 0)
            search_index_settle(world.index);
        for (int i = 0; i < QUERIES; i++) {
            struct plain_query query;
            char text[200];
            generate_query(&query, text, sizeof text);
            found += expect_same(world.index, "acme", world.reader, &query);
        }
    }
    cr_assert_gt(found, rounds * 150, "only %zu results were compared", found);
    plain_reader_free(world.reader);
    search_index_free(world.index);
}

Test(search_index, equals_a_plain_reader_over_a_history)
{
    srand(20240601);
    live_through(ROUNDS, 1);
}

Test(search_index, equals_a_plain_reader_over_a_history_in_batches)
{
    srand(20240602);
    live_through(ROUNDS, 40);
}

/* Four hashes for all words: each look-up meets others. */
Test(search_index, words_of_equal_hashes_are_told_apart)
{
    search_word_hash_mask = UINT64_C(0x8000000000000001);
    srand(20240603);
    live_through(ROUNDS / 3, 8);
}

static size_t find(search_index *index, const char *account, const char *text)
{
    arena *memory = arena_new(1 << 20);
    struct plain_query plain = {.text = text, .order = 'u', .descending = true};
    struct search_query query = translate(&plain, memory);
    query.limit = 10;
    struct search_answer answer;
    error err;
    cr_assert(search_index_query(index, account, &query, memory, &answer, &err));
    size_t total = answer.total;
    cr_assert_eq(answer.count, total);
    search_answer_release(&answer);
    arena_free(memory);
    return total;
}

Test(search_index, finds_whole_words_in_any_field_and_order)
{
    search_index *index = new_index();
    struct draft draft;
    begin(&draft, 1, "The contract is late");
    put(index, "acme", &draft);
    begin(&draft, 2, "Something else");
    add_label(&draft, "Contract Needed");
    put(index, "acme", &draft);
    cr_assert_eq(find(index, "acme", "contract"), 2);
    cr_assert_eq(find(index, "acme", "contr"), 0);
    cr_assert_eq(find(index, "acme", "NEEDED something"), 1);
    cr_assert_eq(find(index, "acme", "needed late"), 0);
    cr_assert_eq(find(index, "acme", "2"), 1);
    cr_assert_eq(find(index, "acme", ""), 0);
    cr_assert_eq(find(index, "acme", " .,; "), 0);
    search_index_free(index);
}

Test(search_index, keeps_accounts_apart)
{
    search_index *index = new_index();
    struct draft draft;
    begin(&draft, 7, "secret");
    put(index, "acme", &draft);
    begin(&draft, 7, "other");
    put(index, "beta", &draft);
    cr_assert_eq(find(index, "acme", "secret"), 1);
    cr_assert_eq(find(index, "beta", "secret"), 0);
    cr_assert_eq(find(index, "nobody", "secret"), 0);
    search_index_drop(index, "acme");
    cr_assert_eq(find(index, "acme", "secret"), 0);
    cr_assert_eq(find(index, "beta", "other"), 1);
    search_index_free(index);
}

/* Words are told apart to their last byte, however long they are. */
Test(search_index, long_words_match_exactly)
{
    enum { LONGEST = 4000 };
    static char subjects[5][LONGEST + 1];
    static const size_t lengths[] = {254, 255, 256, LONGEST, LONGEST};
    search_index *index = new_index();
    for (size_t i = 0; i < 5; i++) {
        struct draft draft;
        memset(subjects[i], 'x', lengths[i]);
        subjects[i][lengths[i] - 1] = i == 4 ? 'y' : 'x';
        begin(&draft, (int64_t)i + 1, "long");
        add_text(&draft, SEARCH_FIELD_MESSAGE, subjects[i]);
        put(index, "acme", &draft);
    }
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 5; i++)
            cr_assert_eq(find(index, "acme", subjects[i]), 1);
        subjects[3][LONGEST - 1] = 'z';
        cr_assert_eq(find(index, "acme", subjects[3]), 0);
        subjects[3][LONGEST - 1] = 'x';
        search_index_settle(index);
    }
    search_index_free(index);
}

Test(search_index, an_earlier_reading_changes_nothing)
{
    search_index *index = new_index();
    struct draft draft;
    begin(&draft, 1, "new");
    draft.document.position = 5;
    put(index, "acme", &draft);
    begin(&draft, 1, "old");
    draft.document.position = 4;
    put(index, "acme", &draft);
    cr_assert_eq(find(index, "acme", "new"), 1);
    cr_assert_eq(find(index, "acme", "old"), 0);
    search_index_free(index);
}

/* The account goes while it is built anew, comes again and is built anew again. */
Test(search_index, a_build_that_was_given_up_leaves_the_next_one_alone)
{
    search_index *index = new_index();
    uint64_t former, present;
    struct draft gone, there;
    error err;
    begin(&gone, 1, "gone");
    begin(&there, 1, "there");
    put(index, "acme", &gone);
    cr_assert(search_index_build_begin(index, "acme", &former, &err));
    search_index_drop(index, "acme");
    put(index, "acme", &there);
    cr_assert(search_index_build_begin(index, "acme", &present, &err));
    cr_assert_not(search_index_build_put(index, "acme", former, &gone.document, &err));
    cr_assert_str_eq(err.reason, "ACCOUNT_DELETED");
    cr_assert(search_index_build_end(index, "acme", former, true, &err));
    cr_assert_eq(find(index, "acme", "there"), 1, "the former one has put an empty account in place");
    cr_assert(search_index_build_put(index, "acme", present, &there.document, &err));
    cr_assert(search_index_build_end(index, "acme", former, false, &err));
    cr_assert(search_index_build_end(index, "acme", present, true, &err));
    cr_assert_eq(find(index, "acme", "there"), 1);
    cr_assert_eq(find(index, "acme", "gone"), 0);
    cr_assert(search_index_build_begin(index, "acme", &former, &err), "the last one has ended");
    search_index_free(index);
}

Test(search_index, a_query_is_bounded)
{
    arena *memory = arena_new(1 << 20);
    const char *const *words;
    size_t count;
    error err;
    char text[SEARCH_QUERY_BYTES_MAX + 2] = "";
    for (size_t i = 0; i < SEARCH_QUERY_WORDS_MAX; i++)
        memcpy(text + 2 * i, i % 2 ? "x " : "Y ", 3);
    cr_assert(search_query_words(text, memory, &words, &count, &err));
    cr_assert_eq(count, 2);
    cr_assert_str_eq(words[0], "y");
    memcpy(text + strlen(text), "z", 2);
    cr_assert_not(search_query_words(text, memory, &words, &count, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    memset(text, 'x', SEARCH_QUERY_BYTES_MAX);
    text[SEARCH_QUERY_BYTES_MAX] = '\0';
    cr_assert(search_query_words(text, memory, &words, &count, &err));
    text[SEARCH_QUERY_BYTES_MAX] = 'x';
    text[SEARCH_QUERY_BYTES_MAX + 1] = '\0';
    cr_assert_not(search_query_words(text, memory, &words, &count, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    arena_free(memory);
}

Test(search_index, gives_everything_back)
{
    search_index *index = new_index();
    arena *memory = arena_new(1 << 20);
    struct draft draft;
    unsigned rounds[5] = {0};
    for (int64_t i = 1; i <= 500; i++) {
        generate(&draft, i % 50, i, rounds);
        put(index, "acme", &draft);
    }
    struct search_account_status *accounts;
    size_t count;
    error err;
    cr_assert(search_index_status(index, "acme", memory, &accounts, &count, &err));
    cr_assert_eq(count, 1);
    cr_assert_eq(accounts[0].cases, 50);
    cr_assert_gt(accounts[0].words, 20);
    for (int64_t i = 0; i < 50; i++)
        take_out(index, "acme", i);
    cr_assert(search_index_status(index, NULL, memory, &accounts, &count, &err));
    cr_assert_eq(count, 0);
    arena_free(memory);
    search_index_free(index);
}
