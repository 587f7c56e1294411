package cli

import (
	"github.com/spf13/cobra"
)

// topicTokens is what a change of a token is announced as.
const topicTokens = "tokens"

func (e *env) token() *cobra.Command {
	return group("token", "Issue, list, rotate and revoke proxy tokens",
		e.tokenIssue(), e.tokenList(), e.tokenScope(), e.tokenRotate(), e.tokenRevoke())
}
