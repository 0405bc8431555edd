#ifndef CASEWORK_CASE_ADDRESS_H
#define CASEWORK_CASE_ADDRESS_H

/* What can be an address. Errors are INVALID_ARGUMENT naming the field. */

#include "base/error.h"

#include <stdbool.h>

/* 1 to CASE_ADDRESS_MAX bytes, not only white space and punctuation, no control character or line break. */
bool address_check(const char *address, const char *field, error *err) __attribute__((warn_unused_result));

/* The same, but that there need not be one. */
bool address_check_given(const char *address, const char *field, error *err)
    __attribute__((warn_unused_result));

/*
 * An outside address that something can be sent to over a network: on "email" local@domain without white
 * space, brackets and lists, on "phone" digits with + ( ) . / - and blanks; no blanks around it; and not the
 * channel's own address, which would lead back here.
 */
bool address_check_third_party(const char *address, const char *network, const char *own, const char *field,
                               error *err) __attribute__((warn_unused_result));

#endif
