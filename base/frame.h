/* The unit in which memory and disks are compressed, hashed and loaded (ARCHITECTURE.md, "The
 * file"). */
#ifndef TORPOR_BASE_FRAME_H
#define TORPOR_BASE_FRAME_H

#define FRAME_SIZE 65536u

#endif
