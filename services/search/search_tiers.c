#include "search/search_tiers.h"

enum { TIERS = 16, DEAD_FROM = 16 };

static uint32_t live_of(const struct search_slice *slice)
{
    return search_alive_count(slice->alive, slice->block->section.documents);
}

static unsigned tier_of(const struct search_slice *slice)
{
    unsigned tier = 0;
    for (uint32_t live = live_of(slice); live >= SEARCH_TIER_RATIO; live /= SEARCH_TIER_RATIO)
        tier++;
    return tier;
}

static bool is_mostly_dead(const struct search_slice *slice)
{
    uint32_t documents = slice->block->section.documents;
    return documents >= DEAD_FROM && live_of(slice) < documents / 2;
}

static uint32_t pick_below(const struct search_slice *slices, uint32_t count, unsigned tier,
                           uint32_t documents_max,
                           bool (*busy)(const void *context, const struct search_block *block),
                           const void *context, uint32_t *ret_picked, uint32_t room)
{
    uint64_t live = 0;
    uint32_t picked = 0;
    for (uint32_t i = 0; i < count && picked < room; i++) {
        if (busy(context, slices[i].block) || tier_of(&slices[i]) > tier)
            continue;
        live += live_of(&slices[i]);
        ret_picked[picked++] = i;
    }
    return live > documents_max ? 0 : picked;
}

uint32_t search_tiers_pick(const struct search_slice *slices, uint32_t count, uint32_t documents_max,
                           bool (*busy)(const void *context, const struct search_block *block),
                           const void *context, uint32_t *ret_picked, uint32_t room)
{
    uint32_t sections[TIERS] = {0};
    bool due[TIERS] = {false};
    for (uint32_t i = 0; i < count; i++) {
        if (busy(context, slices[i].block))
            continue;
        unsigned tier = tier_of(&slices[i]);
        sections[tier]++;
        due[tier] = due[tier] || sections[tier] >= SEARCH_TIER_SECTIONS || is_mostly_dead(&slices[i]);
    }
    for (unsigned tier = 0; tier < TIERS; tier++) {
        uint32_t picked =
            due[tier] ? pick_below(slices, count, tier, documents_max, busy, context, ret_picked, room) : 0;
        if (picked > 0)
            return picked;
    }
    return 0;
}

/* By living documents, most first. */
static void sort_picked(const struct search_slice *slices, uint32_t *picked, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t at = i; at > 0 && live_of(&slices[picked[at]]) > live_of(&slices[picked[at - 1]]);
             at--) {
            uint32_t kept = picked[at];
            picked[at] = picked[at - 1];
            picked[at - 1] = kept;
        }
}

uint32_t search_tiers_tidy(const struct search_slice *slices, uint32_t count, uint32_t documents_max,
                           uint32_t *ret_picked, uint32_t room)
{
    uint32_t considered = count < room ? count : room, first = considered;
    uint64_t below = 0, live = 0;
    for (uint32_t i = 0; i < considered; i++)
        ret_picked[i] = count - considered + i;
    sort_picked(slices, ret_picked, considered);
    for (uint32_t i = considered; i-- > 0;) {
        uint32_t own = live_of(&slices[ret_picked[i]]);
        if (below * SEARCH_TIER_RATIO >= own && below > 0 && below + own <= documents_max) {
            first = i;
            live = below + own;
        }
        below += own;
    }
    if (live == 0)
        return 0;
    for (uint32_t i = first; i < considered; i++)
        ret_picked[i - first] = ret_picked[i];
    return considered - first;
}
