package database_test

// holderEnv makes the test binary a process that holds a SQLite file open.
const holderEnv = "SALLYPORT_TEST_HOLDER"

func hold(string) {}
