#ifndef CASEWORK_REPORT_CHART_PARTS_H
#define CASEWORK_REPORT_CHART_PARTS_H

/* The reports that charts are drawn of: the methods of the same name, with something done to their answer. */

#include "casework/report/v1/report_service.pb-c.h"
#include "report/report_call.h"

/* The request must live as long as the call. */
void report_activity_begin(rpc_call *call, const Casework__Report__V1__GetCaseActivityRequest *request,
                           void *context, const struct report_finish *finish);
void report_volume_begin(rpc_call *call, const Casework__Report__V1__GetCaseVolumeRequest *request,
                         void *context, const struct report_finish *finish);

#endif
