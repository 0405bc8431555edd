#ifndef CASEWORK_TESTS_SUPPORT_STORE_WORLD_H
#define CASEWORK_TESTS_SUPPORT_STORE_WORLD_H

/* A search index with its files, written and read by nobody else, and a plain reader of what is in it. */

#include "search/search_store.h"
#include "tests/support/plain_search.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of accounts and of cases that store_fill writes. */
enum { STORE_ACCOUNTS = 3, STORE_CASES = 200 };

/* An index with its files, and what it should find. */
struct store_world {
    char directory[64];
    struct search_store_options options;
    search_index *index;
    search_store *store;
    struct plain_reader *readers[STORE_ACCOUNTS];
    int64_t position;
};

/* Each in a partition of its own. */
extern const char *const store_account_ids[STORE_ACCOUNTS];

/* In a directory of its own, which goes with the end. */
void store_world_begin(struct store_world *world);
void store_world_end(struct store_world *world);

/* The index and its files alone; what they are opened with are the options. */
void store_world_open(struct store_world *world);
void store_world_close(struct store_world *world);
void store_world_reopen(struct store_world *world);

void store_put(struct store_world *world, int account, int64_t number, const char *body);

/* All events so far are in. */
void store_settle(struct store_world *world);

/* So many cases by chance, and settled. */
void store_fill(struct store_world *world, int rounds);
void store_checkpoint(struct store_world *world);

/* How many cases have the words. */
uint64_t store_total(struct store_world *world, int account, const char *text);

/* What is found is what the plain reader finds. */
void store_expect_query(struct store_world *world, int account, const char *text);
void store_expect_same(struct store_world *world);

/* 0: the account is not there. */
int64_t store_position(struct store_world *world, int account);

/* --- files --- */

void store_path(const struct store_world *world, const char *name, char path[320]);

/* The n-th file of sections, as readdir tells them; false: there are not so many. */
bool store_sections_file(const struct store_world *world, int n, char path[320]);

/* NULL: it has gone. The caller frees. */
unsigned char *store_read_file(const char *path, size_t *ret_size);
void store_write_file(const char *path, const void *data, size_t size);

/* In how many files of the directory the text stands; the index may put others in their place meanwhile. */
int store_files_with(const struct store_world *world, const char *text);

#endif
