#ifndef CASEWORK_TESTS_SUPPORT_REPORT_REBUILD_RUN_H
#define CASEWORK_TESTS_SUPPORT_REPORT_REBUILD_RUN_H

#include "tests/support/suite.h"

/*
 * `casework-report --rebuild=MODE` beside the suite's report service; `inject` as CASEWORK_INJECT, "":
 * nothing. Answers how it ended, as waitpid tells; 0: all is the same.
 */
int report_rebuild_run(suite *s, const char *mode, const char *inject);

/* The same in two: for what happens meanwhile. Every one that began is to be ended. */
pid_t report_rebuild_begin(suite *s, const char *mode, const char *inject);
int report_rebuild_end(pid_t rebuild);

#endif
