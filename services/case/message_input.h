#ifndef CASEWORK_CASE_MESSAGE_INPUT_H
#define CASEWORK_CASE_MESSAGE_INPUT_H

/* Messages as they are given on the wire: checked, and whether the caller may write such a one. */

#include "case/case_rules.h"
#include "case/case_write.h"
#include "casework/cases/v1/message.pb-c.h"

#include <stdbool.h>

/* The act that adds the message. `path` is its place in the request; `then` one of AFTER_SEND_…, as given. */
bool message_input(const struct case_write *write, const Casework__Cases__V1__Message *wire, int then,
                   const char *path, struct case_act *ret_act, error *err)
    __attribute__((warn_unused_result));

/* Attachments, in the call's arena. */
bool attachments_input(const struct case_write *write, Casework__Cases__V1__Attachment *const *wire,
                       size_t count, const struct attachment **ret_attachments, error *err)
    __attribute__((warn_unused_result));

/* A time that may be left out: 0. */
bool time_input(const Google__Protobuf__Timestamp *wire, const char *field, int64_t *ret_time_us, error *err)
    __attribute__((warn_unused_result));

#endif
