#ifndef CASEWORK_CLI_JSON_READ_H
#define CASEWORK_CLI_JSON_READ_H

/* Messages from files of JSON, as --json prints them. */

#include "base/arena.h"
#include "base/error.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/*
 * Fills the message at `field` of the request from the file. Names may be written as in the JSON mapping of
 * proto3 or as in the contract, values also as field_set takes them; the message may stand alone or as the
 * answer that --json prints, under its field's name. `masked`: the fields that the file has go into
 * update_mask, but for those that nobody can change.
 */
bool json_read_file(arena *memory, ProtobufCMessage *request, const char *field, bool masked,
                    const char *path, error *err) __attribute__((warn_unused_result));

#endif
