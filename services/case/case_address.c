#include "case/case_address.h"

#include "case/case_model.h"
#include "text/words.h"

#include <string.h>
#include <strings.h>

enum { PHONE_DIGITS_MIN = 2 };

/* C0, DEL, C1, and Unicode's own line and paragraph separators. */
static bool is_control(const unsigned char *at)
{
    return at[0] < 0x20 || at[0] == 0x7F || (at[0] == 0xC2 && at[1] < 0xA0) ||
           (at[0] == 0xE2 && at[1] == 0x80 && (at[2] == 0xA8 || at[2] == 0xA9));
}

bool address_check(const char *address, const char *field, error *err)
{
    size_t at = 0, length = strlen(address);
    if (length == 0)
        return error_bad_field(err, field, "is required");
    if (length > CASE_ADDRESS_MAX)
        return error_bad_field(err, field, "is longer than %d bytes", CASE_ADDRESS_MAX);
    for (size_t i = 0; i < length; i++) {
        if (is_control((const unsigned char *)address + i))
            return error_bad_field(err, field, "has a control character");
    }
    for (size_t gap; (gap = text_separator_length(address + at, length - at)) > 0;)
        at += gap;
    return at < length || error_bad_field(err, field, "is required");
}

bool address_check_given(const char *address, const char *field, error *err)
{
    return address[0] == '\0' || address_check(address, field, err);
}

static bool is_email(const char *address)
{
    const char *at = strrchr(address, '@');
    return at != NULL && at != address && at[1] != '\0' && at[1] != '.' &&
           address[strlen(address) - 1] != '.' && strchr(address, '@') == at &&
           strpbrk(address, " <>()[]\\,;:\"") == NULL;
}

static bool is_phone(const char *address)
{
    int digits = 0;
    for (const char *p = address; *p != '\0'; p++) {
        digits += *p >= '0' && *p <= '9';
        if (strchr("0123456789 ()./-", *p) == NULL && !(*p == '+' && p == address))
            return false;
    }
    return digits >= PHONE_DIGITS_MIN;
}

bool address_check_third_party(const char *address, const char *network, const char *own, const char *field,
                               error *err)
{
    if (!address_check(address, field, err))
        return false;
    if (address[0] == ' ' || address[strlen(address) - 1] == ' ')
        return error_bad_field(err, field, "has blanks around it");
    if (strcmp(network, "email") == 0 && !is_email(address))
        return error_bad_field(err, field, "is no e-mail address");
    if (strcmp(network, "phone") == 0 && !is_phone(address))
        return error_bad_field(err, field, "is no phone number");
    return strcasecmp(address, own) != 0 || error_bad_field(err, field, "is the channel's own address");
}
