A machine that is saved while it runs goes on, and what was saved is whole.

  % torpor save -R "$TORPOR_NAME" -o "$TORPOR_NAME.torpor" | sed 's/:.*//'
  */test-*.torpor (glob)
  % torpor verify "$TORPOR_NAME.torpor" | sed 's/,.*//'
  test-*.torpor: ok (glob)
  % ask "$TORPOR_NAME" "check 16 8 5"
  check ok
  % torpor resume -d --rm -n "again-$TORPOR_NAME" "$TORPOR_NAME.torpor"
  again-test-* (glob)
  % ask "again-$TORPOR_NAME" "check 16 8 5"
  check ok
  % torpor kill "again-$TORPOR_NAME"; rm "$TORPOR_NAME.torpor"
