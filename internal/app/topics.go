package app

// Topics of change, as the database announces them. Derived tokens have one each, pool.Topic.
const (
	topicTokens  = "tokens"
	topicSecrets = "secrets"
	topicStore   = "store:" // with the name of a store other than builtin, whose changes the database knows nothing of
	topicUsage   = "usage"  // not a change: someone wants to read when tokens were last used
)
