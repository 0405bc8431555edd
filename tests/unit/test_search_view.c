/* Views taken from where they are published, while others take their place. */

#include "search/search_view.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MANY = 200000, THREADS = 4, ROUNDS = 20000 };

static int64_t references(struct search_view *view)
{
    return atomic_load(&view->references);
}

Test(search_view, as_many_as_take_it_keep_it)
{
    struct search_view_slot slot;
    struct search_view *view = search_view_new();
    search_view_publish_first(&slot, search_view_ref(view));
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(search_view_take(&slot), view);
    cr_assert_eq(search_view_peek(&slot), view);
    search_view_publish(&slot, search_view_new());
    cr_assert_eq(references(view), MANY + 1);
    for (int i = 0; i < MANY; i++)
        search_view_unref(view);
    cr_assert_eq(references(view), 1);
    search_view_unref(view);
    search_view_publish(&slot, NULL);
    cr_assert_null(search_view_peek(&slot));
}

Test(search_view, may_be_published_in_two_places)
{
    struct search_view_slot first, second;
    struct search_view *view = search_view_new();
    search_view_publish_first(&first, view);
    search_view_publish_first(&second, search_view_take(&first));
    search_view_publish(&first, NULL);
    search_view_unref(search_view_take(&second));
    cr_assert_eq(search_view_peek(&second), view);
    search_view_publish(&second, NULL);
}

struct race {
    struct search_view_slot slot;
    atomic_bool over;
    atomic_uint waiting;
};

/* Keeps many at a time, so that they are counted before the view is replaced as well. */
static void *take_and_give(void *argument)
{
    enum { KEPT = 12000 };
    struct race *race = argument;
    struct search_view **kept = calloc(KEPT, sizeof(struct search_view *));
    cr_assert_not_null(kept);
    atomic_fetch_sub(&race->waiting, 1);
    for (size_t i = 0; !atomic_load(&race->over); i = (i + 1) % KEPT) {
        search_view_unref(kept[i]);
        kept[i] = search_view_take(&race->slot);
        cr_assert_eq(kept[i]->count, 0);
    }
    for (size_t i = 0; i < KEPT; i++)
        search_view_unref(kept[i]);
    free(kept);
    return NULL;
}

Test(search_view, is_there_for_those_who_take_it_beside_one_who_publishes, .timeout = 60)
{
    static struct race race = {.waiting = THREADS};
    pthread_t threads[THREADS];
    search_view_publish_first(&race.slot, search_view_new());
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_and_give, &race), 0);
    while (atomic_load(&race.waiting) > 0)
        ;
    for (int i = 0; i < ROUNDS; i++)
        search_view_publish(&race.slot, search_view_new());
    atomic_store(&race.over, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct search_view *last = search_view_ref(search_view_peek(&race.slot));
    search_view_publish(&race.slot, NULL);
    cr_assert_eq(references(last), 1);
    search_view_unref(last);
}
