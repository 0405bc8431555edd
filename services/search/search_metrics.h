#ifndef CASEWORK_SEARCH_METRICS_H
#define CASEWORK_SEARCH_METRICS_H

/*
 * Metrics of how the index stands: a thread that looks every second at what nobody counts as it happens. What
 * it asks of the case service is bounded by one second too.
 */

#include "search/search_handlers.h"

typedef struct search_metrics search_metrics;

/* The service must outlive it; its `lag` is kept up. */
bool search_metrics_start(struct search_service *service, search_metrics **ret_metrics, error *err)
    __attribute__((warn_unused_result));
void search_metrics_stop(search_metrics *metrics); /* and frees; takes NULL */

#endif
