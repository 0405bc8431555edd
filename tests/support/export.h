#ifndef CASEWORK_TESTS_SUPPORT_EXPORT_H
#define CASEWORK_TESTS_SUPPORT_EXPORT_H

/* Exports of engagements in tests. What does not hold fails the test. */

#include "base/bytes.h"
#include "tests/support/engagements.h"

#include <jansson.h>

typedef Casework__Report__V1__ExportEngagementsRequest export_request;
typedef Casework__Report__V1__ExportEngagementsResponse export_part;

#define EXPORT_CSV CASEWORK__REPORT__V1__EXPORT_FORMAT__EXPORT_FORMAT_CSV
#define EXPORT_JSON_LINES CASEWORK__REPORT__V1__EXPORT_FORMAT__EXPORT_FORMAT_JSON_LINES

/* Everything, complete up to now. */
export_request export_ask(const struct shop *d, int format);

rpc_stream *export_open(const struct shop *d, rpc_channel *channel, const export_request *request);

/* Reads on to the end into `to` (NULL: nowhere). False: it ended with the error. */
bool export_read(rpc_stream *stream, bytes *to, int64_t *ret_position, error *ret_err);

/* The whole file; to be released. */
bytes export_file(const struct shop *d, const export_request *request);

/* A file of JSON lines as an array; the caller releases it. */
json_t *export_lines(const bytes *file);

/*
 * A file of CSV as Python's csv module reads it, as an array of objects by column, marks and all; the caller
 * releases it. Without Python the test is skipped.
 */
json_t *export_python(const struct shop *d, const bytes *file);

/* Puts so many made-up engagements into the report service's own table. */
void export_fill(const struct shop *d, int count);

#endif
