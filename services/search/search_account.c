#include "search/search_account.h"

#include "text/fold.h"

#include <stdlib.h>
#include <string.h>

/* Dead numbers cost a pointer each; numbering anew walks every list. So it waits until they are many, and
 * most of all. */
enum { RENUMBER_FROM = 1 << 20, FIRST_SIZE = 64 };

void search_account_init(struct search_account *account)
{
    *account = (struct search_account){.renumber_from = RENUMBER_FROM};
    search_terms_init(&account->terms);
}

void search_account_release(struct search_account *account)
{
    for (uint32_t i = 0; i < account->count; i++)
        free(account->entries[i]);
    free(account->entries);
    search_map_release(&account->numbers);
    search_terms_release(&account->terms);
    search_account_init(account);
}

size_t search_account_bytes(const struct search_account *account)
{
    return sizeof *account + account->terms.bytes + account->numbers.size * sizeof *account->numbers.entries +
           account->size * sizeof(struct search_entry *) + account->entry_bytes;
}

static bool is_dead(const void *context, uint32_t document)
{
    const struct search_account *account = context;
    return !account->entries[document];
}

static const char *place(char **at, const char *text, size_t size)
{
    char *start = *at;
    memcpy(start, text, size);
    *at += size;
    return start;
}

/* The entry without its terms; NULL when memory is out. */
static struct search_entry *entry_new(const struct search_document *document, uint32_t term_count)
{
    bytes key;
    bytes_init(&key, UINT32_MAX);
    if (!text_fold_append(&key, document->subject, strlen(document->subject))) {
        bytes_release(&key);
        return NULL;
    }
    size_t subject = strlen(document->subject) + 1, owner = strlen(document->owner) + 1;
    size_t size =
        sizeof(struct search_entry) + term_count * sizeof(uint32_t) + subject + key.length + 1 + owner;
    struct search_entry *entry = malloc(size);
    if (entry) {
        *entry = (struct search_entry){.number = document->number,
                                       .position = document->position,
                                       .update_time_us = document->update_time_us,
                                       .status = document->status,
                                       .need_reply = document->need_reply,
                                       .term_count = term_count,
                                       .bytes = size};
        char *at = (char *)(entry->terms + term_count);
        entry->subject = place(&at, document->subject, subject);
        entry->subject_key = place(&at, bytes_text(&key), key.length + 1);
        entry->owner = place(&at, document->owner, owner);
    }
    bytes_release(&key);
    return entry;
}

static bool reserve_entry(struct search_account *account)
{
    if (account->count < account->size)
        return true;
    uint32_t size = account->size ? account->size * 2 : FIRST_SIZE;
    struct search_entry **grown = reallocarray(account->entries, size, sizeof(struct search_entry *));
    if (!grown)
        return false;
    account->entries = grown;
    account->size = size;
    return true;
}

/* Fills entry->terms. On failure nothing is left behind in the dictionary. */
static bool reserve_terms(struct search_terms *terms, const struct search_words *words,
                          struct search_entry *entry)
{
    for (uint32_t i = 0; i < words->count; i++) {
        const struct search_word *word = &words->words[i];
        const char *text = (const char *)words->texts.data + word->offset;
        entry->terms[i] = search_terms_reserve(terms, word->hash, text, word->length);
        if (entry->terms[i] != SEARCH_TERM_NONE)
            continue;
        while (i-- > 0)
            search_terms_discard_empty(terms, entry->terms[i]);
        return false;
    }
    return true;
}

/* A document dies: out of the entries first, for then its lists can tell. */
static void kill(struct search_account *account, uint32_t document)
{
    struct search_entry *entry = account->entries[document];
    account->entries[document] = NULL;
    account->live--;
    account->entry_bytes -= entry->bytes;
    account->postings -= entry->posting_count;
    for (uint32_t i = 0; i < entry->term_count; i++)
        search_terms_forget(&account->terms, entry->terms[i], is_dead, account);
    free(entry);
}

/* Gives out the numbers anew, without the dead ones; without memory for that everything stays as it is. */
static void renumber_if_due(struct search_account *account)
{
    if (account->count < account->renumber_from || account->count / 4 < account->live)
        return;
    uint32_t *map = reallocarray(NULL, account->count, sizeof *map);
    if (!map)
        return;
    uint32_t next = 0;
    for (uint32_t i = 0; i < account->count; i++) {
        struct search_entry *entry = account->entries[i];
        map[i] = entry ? next : UINT32_MAX;
        if (!entry)
            continue;
        search_map_put(&account->numbers, entry->number, next);
        account->entries[next++] = entry;
    }
    search_terms_renumber(&account->terms, map);
    account->count = next;
    free(map);
}

static uint32_t count_postings(const struct search_words *words)
{
    int count = 0;
    for (uint32_t i = 0; i < words->count; i++)
        if (words->texts.data[words->words[i].offset] != '\0')
            count += __builtin_popcount(words->words[i].fields);
    return (uint32_t)count;
}

bool search_account_put(struct search_account *account, const struct search_document *document,
                        const struct search_words *words, error *err)
{
    uint32_t old = search_map_get(&account->numbers, document->number);
    if (old != SEARCH_MAP_NONE && account->entries[old]->position > document->position)
        return true;
    renumber_if_due(account);
    old = search_map_get(&account->numbers, document->number);
    struct search_entry *entry = entry_new(document, words->count);
    if (!entry || !reserve_entry(account) || !search_map_reserve(&account->numbers) ||
        !reserve_terms(&account->terms, words, entry)) {
        free(entry);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to index a case");
    }
    entry->posting_count = count_postings(words);
    uint32_t number = account->count++;
    account->entries[number] = entry;
    account->live++;
    account->entry_bytes += entry->bytes;
    account->postings += entry->posting_count;
    for (uint32_t i = 0; i < words->count; i++)
        search_terms_append(&account->terms, entry->terms[i], number, words->words[i].fields);
    search_map_put(&account->numbers, document->number, number);
    if (old != SEARCH_MAP_NONE)
        kill(account, old);
    return true;
}

void search_account_remove(struct search_account *account, int64_t number)
{
    uint32_t document = search_map_get(&account->numbers, number);
    if (document == SEARCH_MAP_NONE)
        return;
    search_map_remove(&account->numbers, number);
    kill(account, document);
}
