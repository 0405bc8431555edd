#ifndef CASEWORK_REPORT_EXPORT_ROW_H
#define CASEWORK_REPORT_EXPORT_ROW_H

/*
 * Engagements as lines of a file: CSV (RFC 4180) or JSON lines; docs/report.md says what is in them. Buffers
 * remember their failures, so that whoever fills them checks once.
 */

#include "base/bytes.h"
#include "casework/cases/v1/message.pb-c.h"
#include "report/report_engagement_store.h"

/* Values equal the wire's. */
enum report_format {
    REPORT_FORMAT_CSV = 1,
    REPORT_FORMAT_JSON_LINES = 2,
};

struct report_file {
    enum report_format format;
    bool with_messages;
    bytes *to;
};

/* What stands above the rows. */
void report_file_head(const struct report_file *file);

/* A row's columns; with messages it is then open for them. */
void report_file_begin_row(const struct report_file *file, const char *account,
                           const struct report_table_row *row);

/* A message of the row; `scratch` is for its making. */
void report_file_message(const struct report_file *file, const Casework__Cases__V1__Message *message,
                         bool first, bytes *scratch);
void report_file_end_row(const struct report_file *file);

/*
 * A cell of CSV with a text of somebody else's: quoted where need be, with ' before it where a spreadsheet
 * would take it for a formula.
 */
void report_file_cell(bytes *to, const char *text);

#endif
