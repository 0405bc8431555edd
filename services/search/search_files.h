#ifndef CASEWORK_SEARCH_FILES_H
#define CASEWORK_SEARCH_FILES_H

/*
 * The files of a data directory that hold sections. A file is written once, whole, and then mapped. A section
 * in it stays as long as somebody uses it: a manifest, or a block in memory. When nobody does, its bytes are
 * taken out of the file (a hole, where the file system can), and the file goes with its last section. One
 * thread writes, finds and sweeps; uses end on any thread.
 */

#include "search/search_block.h"

typedef struct search_files search_files;

/* Where a section is. */
struct search_place {
    struct search_file *file;
    uint64_t offset, size, checksum;
    unsigned uses; /* with the files' lock */
};

/* Makes the directory if need be and locks it. FAILED_PRECONDITION when another process has it. */
bool search_files_open(const char *path, search_files **ret_files, error *err)
    __attribute__((warn_unused_result));

/* No block of the files may be left. Takes NULL. */
void search_files_close(search_files *files);

int search_files_directory(const search_files *files); /* for openat */

/* --- writing: begin, add …, end or give up; at most one file at a time --- */

bool search_files_begin(search_files *files, error *err) __attribute__((warn_unused_result));

/* *ret_place has one use, which is the caller's, from the beginning; there is a block of it after the end. */
bool search_files_add(search_files *files, const struct search_section *section,
                      struct search_place **ret_place, error *err) __attribute__((warn_unused_result));

/* Durable when true. When false, as after search_files_abandon, the places that were given out are good for
 * search_place_unuse only. */
bool search_files_end(search_files *files, error *err) __attribute__((warn_unused_result));
void search_files_abandon(search_files *files);

/* --- reading --- */

/* The section that somebody wrote there, read from the disk and compared by its checksum. One use. */
bool search_files_find(search_files *files, uint64_t file, const struct search_place *wanted,
                       struct search_place **ret_place, error *err) __attribute__((warn_unused_result));

/* A block in the mapping, which uses the place. NULL without memory, or when it is no section. */
struct search_block *search_place_block(struct search_place *place, error *err);

/* Where a block is; NULL: in memory only. */
struct search_place *search_place_of(const struct search_block *block);

void search_place_use(struct search_place *place);
void search_place_unuse(struct search_place *place); /* takes NULL */
uint64_t search_place_file(const struct search_place *place);

/* Whether the section should move to another file, so that this one can go. */
bool search_place_is_lonely(const struct search_place *place);

/* --- tidying up --- */

/* Takes away what nobody uses any more. Before anything was found, that is all of it. */
void search_files_sweep(search_files *files);

/* The same for bytes that no place is known of: once, after all has been found. */
void search_files_trim(search_files *files);

uint64_t search_files_bytes(const search_files *files); /* of sections in use */
size_t search_files_count(const search_files *files);

#endif
