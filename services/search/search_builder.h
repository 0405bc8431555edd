#ifndef CASEWORK_SEARCH_BUILDER_H
#define CASEWORK_SEARCH_BUILDER_H

/* Makes a section of documents that come in any order. Not thread-safe. */

#include "search/search_block.h"
#include "search/search_words.h"

struct search_builder {
    text_words walk; /* kept from one document to the next */
    bytes key;
    struct search_buffer terms;  /* struct search_builder_term, as they came */
    struct search_buffer texts;  /* of the terms, of subjects and owners */
    struct search_buffer rows;   /* struct search_builder_row, a document */
    struct search_buffer posted; /* u32: terms of the first document, of the second … */
    struct search_buffer fields; /* u8: of each of them */
    uint64_t *slots;             /* open addressing: half of the hash and term + 1; a power of two */
    uint32_t slot_count;
    uint64_t text_bytes; /* of all documents, but for what separates words */
    bool failed;         /* memory is out: nothing comes of it until it is cleared */
};

void search_builder_init(struct search_builder *builder);
void search_builder_release(struct search_builder *builder);
void search_builder_clear(struct search_builder *builder); /* keeps a little memory */

/* Of several documents of one case the one that was read last counts, of those the one that came last. */
bool search_builder_add(struct search_builder *builder, const struct search_document *document, error *err)
    __attribute__((warn_unused_result));

/* Documents that have been added. */
uint32_t search_builder_count(const struct search_builder *builder);

/* A section of what was added, at least one document. The builder is cleared. */
bool search_builder_finish(struct search_builder *builder, struct search_block **ret_block, error *err)
    __attribute__((warn_unused_result));

#endif
