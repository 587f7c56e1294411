package fleet

import "strings"

// Way is how `key verify --node NAME=WAY` reaches a node: the orchestrator says it, since it alone knows through which
// engine, cluster or server it has found the node. What the environment of a command says must not matter: the node
// would be looked for elsewhere, and one of the same name be taken for it.
type Way string

// NewWay is KIND:WHERE?KEY=VALUE&…, as package masterkey/nodes reads it. at are keys and values in turn; one without a
// value is left out.
func NewWay(kind, where string, at ...string) Way {
	text, sign := kind+":"+where, "?"
	for i := 0; i+1 < len(at); i += 2 {
		if at[i+1] != "" {
			text, sign = text+sign+at[i]+"="+unambiguous.Replace(at[i+1]), "&"
		}
	}
	return Way(text)
}

// unambiguous keeps what the query of a URL takes for something else. Slashes and colons stay readable.
var unambiguous = strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", ";", "%3B", "#", "%23", " ", "%20",
	"\n", "%0A", "\r", "%0D", "\t", "%09")

// Away is where a node is that cannot be reached from here.
type Away struct {
	Machine string `json:"machine"`          // for people; "" is unknown
	Inside  string `json:"inside,omitempty"` // the command that runs another one in the node, on that machine
	Hint    string `json:"hint,omitempty"`   // what makes it reachable
}
