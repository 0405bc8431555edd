#ifndef CASEWORK_TESTS_SUPPORT_ERASE_MARKS_H
#define CASEWORK_TESTS_SUPPORT_ERASE_MARKS_H

/* Where the marks of an erase_scene still stand. */

#include "tests/support/erase_scene.h"

struct marks_found {
    bool marks[ERASE_MARKS_MAX + 1];
    size_t count;
    char place[512]; /* of the last one */
};

/* Adds what the case service answers, or streams, of the contact and all cases. */
void marks_in_answers(struct erase_scene *scene, struct marks_found *found);
void marks_in_stream(struct erase_scene *scene, struct marks_found *found, const char *method);

/* Everything PostgreSQL has written but its log of changes; the files below a folder but for what is named
 * `skipped`. */
void marks_on_disk(struct erase_scene *scene, struct marks_found *found);
void marks_in_text(struct marks_found *found, const char *data, size_t length, const char *place);
void marks_in_folder(struct marks_found *found, const char *path, const char *skipped);

/* Tables whose rows, as text and in hexadecimal, have a mark: of all three databases. */
const char *marks_in_tables(struct erase_scene *scene);

/* How many of the marks search finds. */
size_t marks_searchable(struct erase_scene *scene);

#endif
