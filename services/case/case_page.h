#ifndef CASEWORK_CASE_PAGE_H
#define CASEWORK_CASE_PAGE_H

/* Pages as all services have them, by the names that this one uses. */

#include "rpc/page.h"

#define case_page rpc_page
#define case_page_sizes rpc_page_sizes
#define case_page_sizes_usual rpc_page_sizes_usual
#define case_page_key rpc_page_key
#define case_page_open rpc_page_open
#define case_page_seal rpc_page_seal

#endif
