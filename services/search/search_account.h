#ifndef CASEWORK_SEARCH_ACCOUNT_H
#define CASEWORK_SEARCH_ACCOUNT_H

/*
 * The index of one account. Documents are numbered in order of update: a changed case gets a new number, its
 * old one dies. Not thread-safe: search_index.c guards it.
 */

#include "search/search_document.h"
#include "search/search_map.h"
#include "search/search_terms.h"
#include "search/search_words.h"

/* One case. A single block of memory: `terms` and the texts stand behind the struct. */
struct search_entry {
    int64_t number, position, update_time_us;
    int status;
    bool need_reply;
    const char *subject, *subject_key; /* as written; folded, what it sorts by */
    const char *owner;
    uint32_t term_count, posting_count;
    size_t bytes;
    uint32_t terms[]; /* what the case is filed under */
};

struct search_account {
    struct search_terms terms;
    struct search_map numbers;     /* case → document */
    struct search_entry **entries; /* by document number; NULL: dead. Owned */
    uint32_t count, size;          /* document numbers given out, and room */
    uint32_t live;
    uint32_t renumber_from; /* how many numbers are given out before it is worth looking for dead ones */
    uint64_t postings;      /* words and the fields they stand in, of all living documents */
    size_t entry_bytes;
};

void search_account_init(struct search_account *account);
void search_account_release(struct search_account *account);

/*
 * Files the document in place of what was filed for its case, unless that was read later. `words` are
 * the document's. All or nothing.
 */
bool search_account_put(struct search_account *account, const struct search_document *document,
                        const struct search_words *words, error *err) __attribute__((warn_unused_result));

/* Takes a case out; nothing happens when it is not there. */
void search_account_remove(struct search_account *account, int64_t number);

/* Memory held, in bytes. */
size_t search_account_bytes(const struct search_account *account);

#endif
