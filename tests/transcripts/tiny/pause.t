A machine that is paused can be looked at, and goes on. To pause it twice is no error.

  % torpor pause "$TORPOR_NAME"
  % torpor pause "$TORPOR_NAME"
  % torpor ps | grep "^$TORPOR_NAME " | grep -o paused
  paused
  % torpor unpause "$TORPOR_NAME"
  % ask "$TORPOR_NAME" "check 16 8 5"
  check ok
