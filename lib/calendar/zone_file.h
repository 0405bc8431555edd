#ifndef CASEWORK_CALENDAR_ZONE_FILE_H
#define CASEWORK_CALENDAR_ZONE_FILE_H

/*
 * A zone as the system's time zone database has it: /usr/share/zoneinfo, files by RFC 8536. So a zone's rules
 * are as new as the system's package, and the same for every program on it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ZONE_FILE_NAME_SIZE = 64, ZONE_FILE_CHANGES_MAX = 4096 };

/* Instants in seconds since 1970, offsets in seconds ahead of UTC. */
struct zone_changes {
    size_t count; /* changes of the offset */
    int64_t at[ZONE_FILE_CHANGES_MAX];
    /* offsets[i] holds before at[i], the last one from there on. */
    int64_t offsets[ZONE_FILE_CHANGES_MAX + 1];
};

/* Whether a name can be one of the database: those begin with a capital letter, what else lies there does
 * not. */
bool zone_file_name_is_good(const char *name);

/*
 * Reads all changes before `end_s`, those included that the file tells only as a yearly rule. False, with
 * `changes` undefined, when there is no such zone or its file makes no sense.
 */
bool zone_file_read(const char *name, int64_t end_s, struct zone_changes *changes)
    __attribute__((warn_unused_result));
/* The same for what a file holds; writes into `bytes`. */
bool zone_file_parse(unsigned char *bytes, size_t size, int64_t end_s, struct zone_changes *changes)
    __attribute__((warn_unused_result));

#endif
