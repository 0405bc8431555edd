#ifndef CASEWORK_BENCH_SEARCH_PEER_H
#define CASEWORK_BENCH_SEARCH_PEER_H

/*
 * What one side of the search benchmark does: an index of cases, each a set of words. A program fills in the
 * table and hands it to search_driver_main, which builds, asks, changes and measures all sides alike.
 *
 * A case is known by its document number: documents are numbered in the order of their last update, so that
 * the largest is the newest. A changed case gets a new number, larger than all before. A term is a word with
 * its account in front ("17:printer"): all accounts share one index.
 *
 * Functions return false after saying why on standard error. `query` is called by another thread than
 * `replace`.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SEARCH_PEER_PAGE = 50, SEARCH_PEER_LIMIT_MAX = 5000, SEARCH_PEER_TERMS_MAX = 64 };

struct search_peer_case {
    int64_t document;
    int64_t number; /* of the case in its account: breaks ties of subject and status, ascending */
    int status;
    const char *subject; /* folded */
    const char *terms;   /* each once, one space between two */
    int account;         /* the same without the account in front, for who has an index an account */
    const char *words;
};

enum search_peer_order { SEARCH_PEER_NEWEST, SEARCH_PEER_SUBJECT, SEARCH_PEER_STATUS };

struct search_peer_query {
    const char *const *terms; /* all of them must be there; the rarest first */
    size_t term_count;
    enum search_peer_order order;
    size_t limit; /* documents wanted; 0: none, only the total */
    int64_t
        before; /* only documents below this; `offset` of them are not. INT64_MAX: all. One will do to page */
    size_t offset;
    bool total; /* the exact number of all matches is wanted, whatever `before` is */
};

struct search_peer_answer {
    int64_t documents[SEARCH_PEER_LIMIT_MAX]; /* in order */
    size_t count;
    uint64_t total;
};

struct search_peer {
    const char *name;
    bool add_newest_first; /* the order in which a new index wants its documents */
    /* `place`: a directory that is there, or a database's URL. `fresh`: empty, to be filled by add and
     * finish. */
    bool (*open)(const char *place, bool fresh);
    bool (*add)(const struct search_peer_case *added);
    bool (*finish)(void); /* durable, and in the best shape for queries */
    bool (*query)(const struct search_peer_query *query, struct search_peer_answer *ret_answer);
    bool (*begin)(void);
    bool (*replace)(int64_t document, const struct search_peer_case *now); /* now NULL: the case goes */
    bool (*commit)(void);                                                  /* durable */
    bool (*settle)(void);         /* what changes have put off; NULL */
    int64_t (*index_bytes)(void); /* what is there for searching alone */
    int64_t (*total_bytes)(void); /* with what `replace` needs */
    int64_t (*cpu_us)(void);      /* used so far for changes; NULL: that of this process */
    bool (*nothing)(void); /* a call that does nothing, by the same way as `query`; NULL: there is none */
    void (*close)(void);
};

/*
 * PROGRAM build PLACE DATA            fills a new index from the files in the folder DATA
 * PROGRAM query PLACE DATA SECONDS    each class of queries so long; time from opening to the first answer
 * PROGRAM update PLACE DATA COUNT     COUNT changes of each kind, each durable by itself, and one contact's
 * cases PROGRAM mixed PLACE DATA SECONDS RATE   nine queries to one change, RATE of both a second, open loop
 *
 * Prints lines of JSON: peer, phase, class, p50_us, p99_us …
 */
int search_driver_main(const struct search_peer *peer, int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
