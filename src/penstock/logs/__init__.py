"""What nodes log and print, named and made portable. It knows no task and no scheduler."""
