#include "search/search_words.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#ifdef CASEWORK_INJECTION
uint64_t search_word_hash_mask = UINT64_MAX;

uint64_t search_word_hash(const char *word, size_t length)
{
    return XXH3_64bits(word, length) & search_word_hash_mask;
}
#else
uint64_t search_word_hash(const char *word, size_t length)
{
    return XXH3_64bits(word, length);
}
#endif

void search_words_init(struct search_words *words)
{
    *words = (struct search_words){0};
    bytes_init(&words->texts, UINT32_MAX);
}

void search_words_release(struct search_words *words)
{
    free(words->words);
    free(words->slots);
    bytes_release(&words->texts);
    search_words_init(words);
}

static uint32_t *find_slot(const struct search_words *words, uint64_t hash, const char *text, size_t length)
{
    uint32_t at = (uint32_t)hash & (words->slot_count - 1);
    for (; words->slots[at]; at = (at + 1) & (words->slot_count - 1)) {
        const struct search_word *word = &words->words[words->slots[at] - 1];
        if (word->hash == hash && word->length == length &&
            memcmp(words->texts.data + word->offset, text, length) == 0)
            break;
    }
    return &words->slots[at];
}

uint8_t search_words_fields(const struct search_words *words, uint64_t hash, const char *text, size_t length)
{
    if (words->count == 0)
        return 0;
    uint32_t slot = *find_slot(words, hash, text, length);
    return slot ? words->words[slot - 1].fields : 0;
}

static bool grow(struct search_words *words)
{
    uint32_t size = words->size ? words->size * 2 : 256;
    uint32_t *slots = calloc((size_t)size * 2, sizeof *slots);
    struct search_word *grown = slots ? reallocarray(words->words, size, sizeof *grown) : NULL;
    if (!grown) {
        free(slots);
        return false;
    }
    words->words = grown;
    words->size = size;
    free(words->slots);
    words->slots = slots;
    words->slot_count = size * 2;
    for (uint32_t i = 0; i < words->count; i++) {
        uint32_t at = (uint32_t)grown[i].hash & (words->slot_count - 1);
        while (slots[at])
            at = (at + 1) & (words->slot_count - 1);
        slots[at] = i + 1;
    }
    return true;
}

static bool add(void *context, const char *text, size_t length, uint8_t fields)
{
    struct search_words *words = context;
    if ((!words->slots || words->count == words->size) && !grow(words))
        return false;
    uint64_t hash = search_word_hash(text, length);
    uint32_t *slot = find_slot(words, hash, text, length);
    if (!*slot) {
        size_t offset = words->texts.length;
        if (!bytes_append(&words->texts, text, length))
            return false;
        words->words[words->count] = (struct search_word){hash, offset, length, 0};
        *slot = ++words->count;
    }
    words->words[*slot - 1].fields |= fields;
    return true;
}

bool search_key_append(bytes *out, enum search_key kind, const char *value)
{
    char prefix[2] = {'\0', (char)kind};
    return bytes_append(out, prefix, sizeof prefix) && bytes_append_text(out, value);
}

static bool walk_texts(const struct search_document *document, text_words *walk, search_word_take *take,
                       void *context)
{
    for (size_t i = 0; i < document->text_count; i++) {
        const struct search_text *text = &document->texts[i];
        const char *word;
        size_t length;
        text_words_again(walk, text->text, strlen(text->text));
        while (text_words_next(walk, &word, &length))
            if (!take(context, word, length, SEARCH_FIELD_BIT(text->field)))
                return false;
        if (text_words_failed(walk))
            return false;
    }
    return true;
}

static bool take_key(bytes *key, enum search_key kind, const char *value, search_word_take *take,
                     void *context)
{
    bytes_clear(key);
    return search_key_append(key, kind, value) &&
           take(context, bytes_text(key), key->length, SEARCH_FIELDS_ALL);
}

bool search_document_words(const struct search_document *document, text_words *walk, bytes *key,
                           search_word_take *take, void *context)
{
    if (!walk_texts(document, walk, take, context) ||
        (*document->owner && !take_key(key, SEARCH_KEY_OWNER, document->owner, take, context)) ||
        (*document->channel && !take_key(key, SEARCH_KEY_CHANNEL, document->channel, take, context)) ||
        (*document->contact && !take_key(key, SEARCH_KEY_CONTACT, document->contact, take, context)))
        return false;
    for (size_t i = 0; i < document->label_count; i++)
        if (!take_key(key, SEARCH_KEY_LABEL, document->labels[i], take, context))
            return false;
    return true;
}

uint64_t search_words_fingerprint(const struct search_words *words)
{
    uint64_t print = 0;
    for (uint32_t i = 0; i < words->count; i++)
        print += search_word_print(words->words[i].hash, words->words[i].fields);
    return print;
}

bool search_words_collect(struct search_words *words, const struct search_document *document, error *err)
{
    words->count = 0;
    bytes_clear(&words->texts);
    if (words->slots)
        memset(words->slots, 0, words->slot_count * sizeof *words->slots);
    text_words walk;
    bytes key;
    text_words_init(&walk, "", 0);
    bytes_init(&key, UINT32_MAX);
    bool done = search_document_words(document, &walk, &key, add, words);
    text_words_release(&walk);
    bytes_release(&key);
    return done ||
           error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the words of a case");
}
