#ifndef CASEWORK_CASE_CONTACT_KEYS_H
#define CASEWORK_CASE_CONTACT_KEYS_H

/* Contacts as they are given on the wire: checked, with the keys that their addresses are found by. */

#include "base/arena.h"
#include "base/error.h"
#include "case/case_command.h"
#include "casework/cases/v1/contact.pb-c.h"

#include <stdbool.h>

/*
 * The contact's fields, and the keys of the addresses of the fields in `fields` (FIELD_EMAILS, FIELD_PHONES,
 * FIELD_HANDLES). `path` is the contact's place in the request ("contact").
 */
bool contact_read(arena *memory, const Casework__Cases__V1__Contact *wire, const char *path, unsigned fields,
                  struct contact_record *ret_record, struct address_keys *ret_keys, error *err)
    __attribute__((warn_unused_result));

#endif
