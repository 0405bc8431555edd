/* Tantivy as a side of the search benchmark. Itself it is in bench/peers/tantivy, in Rust, behind these
 * functions. */

#include "bench/support/search_peer.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool tantivy_open(const char *place, bool fresh);
bool tantivy_add(uint64_t document, uint64_t number, uint64_t status, const char *subject, const char *terms);
bool tantivy_remove(uint64_t document);
bool tantivy_commit(void);
bool tantivy_finish(void); /* one segment */
bool tantivy_page(const char *const *terms, size_t count, uint32_t order, size_t limit, size_t offset,
                  int64_t *ret_documents, size_t *ret_count);
bool tantivy_total(const char *const *terms, size_t count, uint64_t *ret_total);

static char place[4096];

static bool open_index(const char *directory, bool fresh)
{
    snprintf(place, sizeof place, "%s", directory);
    return tantivy_open(directory, fresh);
}

static bool add(const struct search_peer_case *added)
{
    return tantivy_add((uint64_t)added->document, (uint64_t)added->number, (uint64_t)added->status,
                       added->subject, added->terms);
}

static bool query(const struct search_peer_query *query, struct search_peer_answer *ret_answer)
{
    ret_answer->count = 0;
    ret_answer->total = 0;
    return (query->limit == 0 ||
            tantivy_page(query->terms, query->term_count, (uint32_t)query->order, query->limit, query->offset,
                         ret_answer->documents, &ret_answer->count)) &&
           (!query->total || tantivy_total(query->terms, query->term_count, &ret_answer->total));
}

static bool begin(void)
{
    return true;
}

static bool replace(int64_t document, const struct search_peer_case *now)
{
    return tantivy_remove((uint64_t)document) && (!now || add(now));
}

/* Of the files whose names end with one of these; NULL: of all. */
static int64_t bytes(const char *const *endings)
{
    int64_t sum = 0;
    DIR *directory = opendir(place);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        const char *dot = strrchr(entry->d_name, '.');
        bool wanted = !endings;
        for (size_t i = 0; dot && endings && endings[i]; i++)
            wanted = wanted || strcmp(dot, endings[i]) == 0;
        char path[sizeof place + sizeof entry->d_name + 1];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", place, entry->d_name);
        if (wanted && stat(path, &status) == 0)
            sum += S_ISREG(status.st_mode) ? status.st_size : 0;
    }
    if (directory)
        closedir(directory);
    return sum;
}

/* Postings and dictionary. */
static int64_t index_bytes(void)
{
    return bytes((const char *const[]){".idx", ".term", NULL});
}

static int64_t total_bytes(void)
{
    return bytes(NULL);
}

static void close_index(void)
{
}

int main(int argc, char **argv)
{
    const struct search_peer peer = {.name = "tantivy",
                                     .open = open_index,
                                     .add = add,
                                     .finish = tantivy_finish,
                                     .query = query,
                                     .begin = begin,
                                     .replace = replace,
                                     .commit = tantivy_commit,
                                     .index_bytes = index_bytes,
                                     .total_bytes = total_bytes,
                                     .close = close_index};
    return search_driver_main(&peer, argc, argv);
}
