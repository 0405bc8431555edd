#ifndef CASEWORK_BENCH_SUPPORT_SEARCH_CORPUS_H
#define CASEWORK_BENCH_SUPPORT_SEARCH_CORPUS_H

/*
 * Cases for the benchmarks of search, the same for all sides: about 120 distinct words and 1 KB of text each,
 * frequencies by Zipf's law, besides words of their own (order numbers, addresses, phones). Every case is
 * made from its ordinal and the seed alone. One account has 70 % of the cases, small ones share the rest.
 */

#include "search/search_document.h"

enum {
    SEARCH_CORPUS_TEXTS = 10, /* one more than there are: for what a benchmark adds */
    SEARCH_CORPUS_LABELS = 2,
    SEARCH_CORPUS_MESSAGES = 3,
    SEARCH_CORPUS_QUERY_SIZE = 256,
    SEARCH_CORPUS_ACCOUNT_SIZE = 24,
    SEARCH_CORPUS_ROTATION = 48, /* queries of each class */
    SEARCH_CORPUS_SEED = 20240229,
    SEARCH_CORPUS_SMALL_ACCOUNTS = 1000
};

/* The account with most of the cases. */
#define SEARCH_CORPUS_BIG_ACCOUNT "big"

struct search_corpus;

/* One case, in place: reused from case to case, not to be copied. */
struct search_corpus_case {
    char account[SEARCH_CORPUS_ACCOUNT_SIZE];
    struct search_document document; /* points into what follows */
    size_t text_bytes;               /* of all its texts together */
    struct search_text texts[SEARCH_CORPUS_TEXTS];
    const char *labels[SEARCH_CORPUS_LABELS];
    char id[24], subject[256], name[64], email[64], phone[32], owner[16], contact[24];
    char messages[SEARCH_CORPUS_MESSAGES][2048];
};

enum search_corpus_class {
    SEARCH_CORPUS_RARE,              /* one case has it */
    SEARCH_CORPUS_FREQUENT,          /* a tenth to a half of all cases */
    SEARCH_CORPUS_FREQUENT_FREQUENT, /* two of those */
    SEARCH_CORPUS_FREQUENT_RARE,     /* one of those and a word of about a hundred cases */
    SEARCH_CORPUS_DISJOINT,          /* two words of every twentieth case, never together */
    SEARCH_CORPUS_ABSENT,            /* a word of no case */
    SEARCH_CORPUS_FIVE,              /* five words of between a hundredth and a tenth of all cases */
    SEARCH_CORPUS_CLASSES
};

/* `accounts` small accounts beside the big one. NULL when memory is out. */
struct search_corpus *search_corpus_new(uint64_t seed, unsigned accounts);
void search_corpus_free(struct search_corpus *corpus); /* takes NULL */

/* Makes the case with that ordinal, from 0; its number is one more. Later ones are updated later. */
void search_corpus_make(struct search_corpus *corpus, uint64_t ordinal, struct search_corpus_case *ret_case);

/* The id of an account by its number: 0 is the big one, the small ones are 1 and up. */
void search_corpus_account(int account, char ret_name[SEARCH_CORPUS_ACCOUNT_SIZE]);

/* When the case with that ordinal was updated. */
int64_t search_corpus_time_us(uint64_t ordinal);

/* Whether the big account has it: the first thing that is drawn. */
bool search_corpus_is_big(const struct search_corpus *corpus, uint64_t ordinal);

/* The text of a query: the `turn`th of its class, for a corpus of `cases` cases, asked of the big account. */
void search_corpus_query(struct search_corpus *corpus, enum search_corpus_class class, unsigned turn,
                         uint64_t cases, char ret_query[SEARCH_CORPUS_QUERY_SIZE]);

const char *search_corpus_class_name(enum search_corpus_class class);

#endif
