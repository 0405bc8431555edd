#ifndef CASEWORK_BENCH_UNTIL_END_H
#define CASEWORK_BENCH_UNTIL_END_H

/* For programs that hold something up for a benchmark until SIGTERM, SIGINT, or their parent's end. */

/* First thing in main. */
void until_end_prepare(void);

/* Tells the shell that waits for it `text`, a line on standard output, and waits for the end. */
void until_end_say(const char *text);

#endif
