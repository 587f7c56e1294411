package alerts

// Errors are the matchers of what is in each party's budget.
func Errors() map[string]string {
	m := map[string]string{}
	for _, s := range slos() {
		m[s.party] = s.errors
	}
	return m
}
