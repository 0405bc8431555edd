#ifndef CASEWORK_BASE_ERROR_H
#define CASEWORK_BASE_ERROR_H

/*
 * Errors as values. An error carries a canonical gRPC code, a reason for programs (ErrorInfo, AIP-193), a
 * message that is fit for the client, and a detail for the log that no client sees.
 *
 * Functions that can fail return bool (true: done) and fill `error *err` on failure only; every other output
 * is untouched then. The outermost caller logs, once.
 */

#include <stdbool.h>
#include <stdint.h>

/* The numbers of https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
enum status_code {
    STATUS_OK = 0,
    STATUS_CANCELLED = 1,
    STATUS_UNKNOWN = 2,
    STATUS_INVALID_ARGUMENT = 3,
    STATUS_DEADLINE_EXCEEDED = 4,
    STATUS_NOT_FOUND = 5,
    STATUS_ALREADY_EXISTS = 6,
    STATUS_PERMISSION_DENIED = 7,
    STATUS_RESOURCE_EXHAUSTED = 8,
    STATUS_FAILED_PRECONDITION = 9,
    STATUS_ABORTED = 10,
    STATUS_OUT_OF_RANGE = 11,
    STATUS_UNIMPLEMENTED = 12,
    STATUS_INTERNAL = 13,
    STATUS_UNAVAILABLE = 14,
    STATUS_DATA_LOSS = 15,
    STATUS_UNAUTHENTICATED = 16,
};

enum { ERROR_INFO_MAX = 4, ERROR_VIOLATIONS_MAX = 4 };

struct error_pair {
    char key[48];   /* metadata key, or the field's path */
    char value[96]; /* its value, or what is wrong with the field */
};

typedef struct error {
    enum status_code code;
    char reason[40];   /* UPPER_SNAKE for ErrorInfo, "" for none */
    char message[240]; /* for the client's log; never SQL, never another tenant's data */
    char detail[240];  /* for our log only */
    int info_count;
    struct error_pair info[ERROR_INFO_MAX]; /* ErrorInfo.metadata */
    int violation_count;
    struct error_pair violations[ERROR_VIOLATIONS_MAX]; /* BadRequest.field_violations */
    int64_t retry_after_us;                             /* RetryInfo; 0: none */
} error;

/*
 * Both overwrite *err (which may be NULL) and are false, so that `return error_set(…)` reads well. Macros, so
 * that the compiler and the checkers see that they are never true.
 */
#define error_set(...)           \
    __extension__({              \
        error_fill(__VA_ARGS__); \
        false;                   \
    })

/* INVALID_ARGUMENT with a field violation; `field` is the path in the request ("case.subject"). */
#define error_bad_field(...)           \
    __extension__({                    \
        error_fill_field(__VA_ARGS__); \
        false;                         \
    })

void error_fill(error *err, enum status_code code, const char *reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void error_fill_field(error *err, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds to an error that was set before. Silently full beyond ERROR_INFO_MAX. */
void error_add_info(error *err, const char *key, const char *value);
void error_add_detail(error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "NOT_FOUND" and so on; "UNKNOWN" for a number out of range. Static storage. */
const char *status_code_name(enum status_code code);

#endif
