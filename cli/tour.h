#ifndef CASEWORK_CLI_TOUR_H
#define CASEWORK_CLI_TOUR_H

/*
 * `casework tour [READY-FILE]`: a minute's walk through what is running, as commands that anybody can repeat
 * and what they answer. Where there is no account yet, the sample's conversations are loaded first. Returns
 * the exit status.
 */
int tour_main(int argc, char **argv);

#endif
