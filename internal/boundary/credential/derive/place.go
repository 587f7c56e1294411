package derive

import (
	"encoding/json"
	"errors"
)

// place is where a token response has the token. Slack, for one, has that of the user inside a member of its own, and
// beside it what else belongs to that token.
type place struct {
	pointer string
	parents pointer
	name    string
	lenient bool // where the pointer leads nowhere, the token is also taken from where RFC 6749 has it
}

func newPlace(text string) (place, error) {
	if text == "" {
		text = DefaultToken
	}
	parts, err := parsePointer(text)
	switch {
	case err != nil:
		return place{}, err
	case parts[len(parts)-1] == "":
		return place{}, errors.New("the pointer to the token leads to no member")
	}
	last := len(parts) - 1
	return place{pointer: text, parents: parts[:last], name: parts[last]}, nil
}

// forRefresh is the place in the response to a refresh. Slack answers to a code with the user's token inside a member,
// and to a refresh token with the one token that it belongs to, at the top: there is no other in it that could be
// meant.
func (p place) forRefresh() place {
	p.lenient = true
	return p
}

func (p place) nested() bool { return len(p.parents) > 0 }

// find returns the token, nil if there is none, and the object in which it stands.
func (p place) find(top map[string]json.RawMessage) (beside map[string]json.RawMessage, token json.RawMessage) {
	if !p.nested() {
		return top, top[p.name]
	}
	if inner, err := jsonObjectOf(p.parents[1:].in(top[p.parents[0]])); err == nil && inner[p.name] != nil {
		return inner, inner[p.name]
	}
	if standard := top["access_token"]; p.lenient && standard != nil {
		return top, standard
	}
	return top, nil
}
