#include "rpc/name.h"

#include "rpc/call.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>

static bool wrong_name(const char *field, const char *pattern, error *err)
{
    return error_bad_field(err, field, "must be %s", pattern);
}

/* Digits without leading zeros, 1 to `maximum`. */
static bool number(const char *text, const char *field, int64_t maximum, int64_t *ret_number, error *err)
{
    int64_t value = 0;
    bool good = *text >= '1' && *text <= '9';
    for (const char *p = text; good && *p; p++) {
        good = *p >= '0' && *p <= '9' && value <= (maximum - (*p - '0')) / 10;
        if (good)
            value = value * 10 + (*p - '0');
    }
    if (!good) {
        error_bad_field(err, field, "cases and messages are named by a number");
        snprintf(err->reason, sizeof err->reason, "NOT_A_NUMBER");
        return false;
    }
    *ret_number = value;
    return true;
}

bool rpc_name_accounts(arena *memory, const char *name, const char *field, const char **ret_account,
                       error *err)
{
    const char *part;
    if (!wire_name_parse(memory, "accounts/{}", name, &part, 1))
        return wrong_name(field, "accounts/{account}", err);
    *ret_account = strcmp(part, "-") == 0 ? "" : part;
    return true;
}

bool rpc_name_account(arena *memory, const char *name, const char *field, const char **ret_account,
                      error *err)
{
    const char *account;
    if (!rpc_name_accounts(memory, name, field, &account, err))
        return false;
    if (!*account)
        return wrong_name(field, "accounts/{account}", err);
    *ret_account = account;
    return true;
}

bool rpc_name_member(arena *memory, const char *collection, const char *name, const char *field,
                     const char **ret_account, const char **ret_id, error *err)
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, "accounts/{}/%s/{}", collection);
    const char *parts[2];
    if (!wire_name_parse(memory, pattern, name, parts, 2) || strcmp(parts[0], "-") == 0 ||
        strcmp(parts[1], "-") == 0) {
        snprintf(pattern, sizeof pattern, "accounts/{account}/%s/{id}", collection);
        return wrong_name(field, pattern, err);
    }
    *ret_account = parts[0];
    *ret_id = parts[1];
    return true;
}

bool rpc_name_member_of(arena *memory, const char *account, const char *collection, const char *name,
                        const char *field, const char **ret_id, error *err)
{
    const char *its_account, *id;
    if (!*name) {
        *ret_id = "";
        return true;
    }
    if (!rpc_name_member(memory, collection, name, field, &its_account, &id, err))
        return false;
    if (strcmp(its_account, account) != 0)
        return rpc_error_not_found(err, name);
    *ret_id = id;
    return true;
}

/*
 * What follows "accounts/{account}/cases/"; NULL: the name does not begin so. The rest is not taken for a
 * segment: what is no number there shall be told as that, whatever it looks like.
 */
static const char *behind_cases(arena *memory, const char *name, const char **ret_account)
{
    static const char collection[] = "/cases/";
    const char *found = strstr(name, collection);
    const char *head = found ? arena_strndup(memory, name, (size_t)(found - name)) : NULL;
    const char *account;
    if (!head || !wire_name_parse(memory, "accounts/{}", head, &account, 1) || strcmp(account, "-") == 0)
        return NULL;
    *ret_account = account;
    return found + strlen(collection);
}

bool rpc_name_case(arena *memory, const char *name, const char *field, const char **ret_account,
                   int64_t *ret_case, error *err)
{
    const char *account;
    const char *id = behind_cases(memory, name, &account);
    if (!id || !*id || strchr(id, '/'))
        return wrong_name(field, "accounts/{account}/cases/{case}", err);
    if (!number(id, field, INT64_MAX, ret_case, err))
        return false;
    *ret_account = account;
    return true;
}

bool rpc_name_message(arena *memory, const char *name, const char *field, const char **ret_account,
                      int64_t *ret_case, int32_t *ret_number, error *err)
{
    static const char collection[] = "/messages/";
    const char *account;
    int64_t case_id, message;
    const char *id = behind_cases(memory, name, &account);
    const char *rest = id ? strchr(id, '/') : NULL;
    const char *head = rest ? arena_strndup(memory, id, (size_t)(rest - id)) : NULL;
    const char *last =
        rest && strncmp(rest, collection, strlen(collection)) == 0 ? rest + strlen(collection) : "";
    if (!head || !*head || !*last || strchr(last, '/'))
        return wrong_name(field, "accounts/{account}/cases/{case}/messages/{number}", err);
    if (!number(head, field, INT64_MAX, &case_id, err) || !number(last, field, INT32_MAX, &message, err))
        return false;
    *ret_account = account;
    *ret_case = case_id;
    *ret_number = (int32_t)message;
    return true;
}
