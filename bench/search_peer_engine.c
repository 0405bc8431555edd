/*
 * Our engine as a side of the search benchmark, in process, without the service around it, with its files.
 * What has changed is in them after each kind of changes: until then the feed is what it would come from.
 */

#include "base/clock.h"
#include "bench/support/search_corpus.h"
#include "bench/support/search_peer.h"
#include "search/search_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 512, CHANGES_MAX = 20000, ASK_MEMORY = 64 << 20 };

static struct search_corpus *corpus;
static search_index *index_;
static search_store *store;
static arena *memory; /* of a query */
static error err;

static bool failed(const char *what)
{
    fprintf(stderr, "engine: %s: %s\n", what, err.message);
    return false;
}

/* --- cases that wait for their batch, all of one account --- */

static struct {
    char account[SEARCH_CORPUS_ACCOUNT_SIZE];
    struct search_corpus_case
        *cases[CHANGES_MAX + 1]; /* made when they are first needed; the last one is spare */
    struct search_change changes[CHANGES_MAX];
    size_t count;
} pile;

static bool apply(void)
{
    size_t count = pile.count;
    pile.count = 0;
    return count == 0 || search_index_apply(index_, pile.account, pile.changes, count, &err) ||
           failed("apply");
}

/* A case with memory of its own, to be made and then put on the pile. */
static struct search_corpus_case *spare(void)
{
    struct search_corpus_case **c = &pile.cases[CHANGES_MAX];
    if (!*c)
        *c = calloc(1, sizeof **c);
    return *c;
}

/* The spare one, after what was on the pile has gone if it is another account's or enough. */
static bool put(bool gone, size_t max)
{
    struct search_corpus_case *c = spare();
    if ((pile.count >= max || strcmp(pile.account, c->account) != 0) && !apply())
        return false;
    memcpy(pile.account, c->account, sizeof pile.account);
    pile.cases[CHANGES_MAX] = pile.cases[pile.count];
    pile.cases[pile.count] = c;
    pile.changes[pile.count++] =
        (struct search_change){.number = c->document.number, .document = gone ? NULL : &c->document};
    return true;
}

static bool file(uint64_t ordinal)
{
    if (!spare())
        return false;
    search_corpus_make(corpus, ordinal, spare());
    return put(false, BATCH);
}

static bool add(const struct search_peer_case *added)
{
    return file((uint64_t)added->document);
}

/* Sections in the files, at a position of the feed that has not been written yet. */
static bool checkpoint(void)
{
    struct feed_positions positions = {.epoch = "bench"};
    search_index_positions(index_, &positions);
    snprintf(positions.epoch, sizeof positions.epoch, "bench");
    positions.at[0]++;
    search_index_set_positions(index_, &positions);
    return search_store_checkpoint(store, &err) || failed("checkpoint");
}

static bool finish(void)
{
    if (!apply())
        return false;
    search_index_settle(index_);
    return checkpoint();
}

/* As the service does when nothing is configured. */
static bool open_index(const char *place, bool fresh)
{
    (void)fresh;
    const struct search_store_options options = {.directory = place,
                                                 .shards = 1,
                                                 .interval_us = CLOCK_MINUTE,
                                                 .bytes = 64 << 20,
                                                 .erasure_us = 10 * CLOCK_MINUTE};
    corpus = search_corpus_new(SEARCH_CORPUS_SEED, SEARCH_CORPUS_SMALL_ACCOUNTS);
    memory = arena_new(ASK_MEMORY);
    return corpus && memory &&
           ((search_index_new(&index_, &err) && search_store_open(&options, index_, &store, &err)) ||
            failed("open"));
}

static void close_index(void)
{
    search_store_stop(store);
    search_index_free(index_);
    search_store_free(store);
    search_corpus_free(corpus);
    arena_free(memory);
}

/* --- changes: a case as it is read from the case service, whole --- */

/* What is new stands in the last message; the others stay what they were. Who goes has not been changed
 * before. */
static bool replace(int64_t document, const struct search_peer_case *now)
{
    struct search_corpus_case *c = spare();
    if (!c)
        return false;
    search_corpus_make(corpus, now ? (uint64_t)now->number - 1 : (uint64_t)document, c);
    c->document.position = INT64_C(1) << 40;
    if (now) {
        char *last = c->messages[SEARCH_CORPUS_MESSAGES - 1];
        snprintf(last, sizeof c->messages[0], "%s", now->words);
        c->document.update_time_us = search_corpus_time_us((uint64_t)now->document);
    }
    return put(!now, CHANGES_MAX);
}

static bool begin(void)
{
    return true;
}

/* --- queries --- */

/* The words of terms, in `memory`; the account in front of the first. */
static bool take_terms(const struct search_peer_query *from, struct search_query *to,
                       char account[SEARCH_CORPUS_ACCOUNT_SIZE])
{
    const char **words = arena_alloc(memory, from->term_count * sizeof *words);
    for (size_t i = 0; words && i < from->term_count; i++)
        words[i] = strchr(from->terms[i], ':') + 1;
    search_corpus_account((int)strtol(from->terms[0], NULL, 10), account);
    to->words = words;
    to->word_count = from->term_count;
    return words != NULL;
}

static bool query(const struct search_peer_query *from, struct search_peer_answer *ret_answer)
{
    static const enum search_order orders[] = {[SEARCH_PEER_NEWEST] = SEARCH_ORDER_UPDATE_TIME,
                                               [SEARCH_PEER_SUBJECT] = SEARCH_ORDER_SUBJECT,
                                               [SEARCH_PEER_STATUS] = SEARCH_ORDER_STATUS};
    char account[SEARCH_CORPUS_ACCOUNT_SIZE];
    struct search_answer found;
    struct search_cursor after = {.number = from->before + 1,
                                  .update_time_us = search_corpus_time_us((uint64_t)from->before)};
    struct search_query asked = {.fields = SEARCH_FIELDS_ALL,
                                 .statuses = ~SEARCH_STATUS_BIT(SEARCH_STATUS_DELETED),
                                 .start_time_us = INT64_MIN,
                                 .end_time_us = INT64_MAX,
                                 .order = orders[from->order],
                                 .descending = from->order == SEARCH_PEER_NEWEST,
                                 .limit = from->limit ? from->limit : 1,
                                 .after = from->before < INT64_MAX ? &after : NULL,
                                 .without_total = !from->total};
    arena_clear(memory);
    if (!take_terms(from, &asked, account) ||
        !search_index_query(index_, account, &asked, memory, &found, &err))
        return failed("query");
    for (size_t i = 0; i < found.count && from->limit; i++)
        ret_answer->documents[i] = search_answer_number(&found, i) - 1;
    ret_answer->count = from->limit ? found.count : 0;
    ret_answer->total = from->total ? found.total : 0;
    search_answer_release(&found);
    return true;
}

/* --- sizes --- */

static int64_t size(void)
{
    struct search_account_status *accounts;
    size_t count = 0;
    int64_t sum = 0;
    arena *room = arena_new(ASK_MEMORY);
    if (!room || !search_index_status(index_, NULL, room, &accounts, &count, &err))
        count = 0;
    for (size_t i = 0; i < count; i++)
        sum += (int64_t)accounts[i].bytes;
    arena_free(room);
    return sum;
}

int main(int argc, char **argv)
{
    const struct search_peer peer = {.name = "engine",
                                     .open = open_index,
                                     .add = add,
                                     .finish = finish,
                                     .query = query,
                                     .begin = begin,
                                     .replace = replace,
                                     .commit = apply,
                                     .settle = checkpoint,
                                     .index_bytes = size,
                                     .total_bytes = size,
                                     .close = close_index};
    return search_driver_main(&peer, argc, argv);
}
