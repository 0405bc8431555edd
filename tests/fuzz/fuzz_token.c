/*
 * Page and resume tokens. Any text as a token is opened or refused; a sealed one opens with what was sealed,
 * and no longer once a byte of it or of the other arguments is another. The first bytes say what to edit.
 */
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/page.h"
#include "rpc/wire.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Whatever it is, it is no token of ours: nobody guesses 32 bytes. */
static void try_any(arena *memory, char *token)
{
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    struct rpc_page page;
    error err = {.code = STATUS_OK};
    void *payload;
    size_t length;
    request.page_token = token;
    bool opened = rpc_page_open(memory, &request.base, NULL, &rpc_page_sizes_usual, &page, &err);
    must(opened == (*token == '\0'));
    must(opened || err.code == STATUS_INVALID_ARGUMENT || err.code == STATUS_RESOURCE_EXHAUSTED);
    must(!wire_token_open(memory, token, token, &payload, &length));
}

static void try_page(arena *memory, uint8_t where, uint8_t change, char *text)
{
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    const struct rpc_page_key key = {.first = where, .second = change, .base = 7, .text = text};
    struct rpc_page page;
    error err = {.code = STATUS_OK};
    request.parent = text;
    char *token = rpc_page_seal(memory, &request.base, text, &key);
    if (!token)
        return;
    request.page_token = token;
    must(rpc_page_open(memory, &request.base, text, &rpc_page_sizes_usual, &page, &err));
    must(page.after && page.key.first == where && page.key.second == change && page.key.base == 7 &&
         strcmp(page.key.text, text) == 0);
    request.page_size = 20; /* that may change from page to page */
    must(rpc_page_open(memory, &request.base, text, &rpc_page_sizes_usual, &page, &err));
    request.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_NEW;
    must(!rpc_page_open(memory, &request.base, text, &rpc_page_sizes_usual, &page, &err));
    request.folder = CASEWORK__CASES__V1__FOLDER__FOLDER_UNSPECIFIED;
    if (change == 0)
        return;
    token[where % strlen(token)] = (char)(token[where % strlen(token)] ^ (change & 0x7f ? change & 0x7f : 1));
    must(!rpc_page_open(memory, &request.base, text, &rpc_page_sizes_usual, &page, &err));
}

static void try_sealed(arena *memory, const uint8_t *data, size_t size, const char *binding)
{
    void *payload;
    size_t length;
    char *token = wire_token_seal(memory, data, size, binding);
    if (!token || !wire_token_open(memory, token, binding, &payload, &length))
        return; /* the arena is full */
    must(length == size && (size == 0 || memcmp(payload, data, size) == 0));
    char *other = arena_printf(memory, "%s+", binding);
    must(!other || !wire_token_open(memory, token, other, &payload, &length));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 64 * 1024)
        return 0;
    arena *memory = arena_new(1 << 22);
    char *text = memory ? arena_strndup(memory, (const char *)data + 2, size - 2) : NULL;
    if (text) {
        try_any(memory, text);
        if (!u8_check((const uint8_t *)text, strlen(text))) /* requests and keys are text by then */
            try_page(memory, data[0], data[1], text);
        try_sealed(memory, data, size, text);
    }
    arena_free(memory);
    return 0;
}
