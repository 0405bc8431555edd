#ifndef CASEWORK_TESTS_SUPPORT_TERMINAL_H
#define CASEWORK_TESTS_SUPPORT_TERMINAL_H

/* `casework` as somebody sees it in a terminal. */

#include "tests/support/suite.h"

/*
 * Runs it like suite_run, in a terminal of 80 columns that shows UTF-8 and changes no byte. Its standard
 * output goes to the file `output` instead where that is not NULL. Answers the exit status and what was on
 * the screen, to be freed.
 */
int terminal_run(suite *s, const char *const *arguments, const char *output, char **ret_screen);

#endif
