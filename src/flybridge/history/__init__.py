"""What AppsFlyer keeps and has not pushed, or not in time: raw-data files, Pull API, Data Locker, and gaps."""
