package sign

// BaseString is the signature base string of OAuth 1.0 over the request's own parameters and further ones.
func BaseString(r *Request, form string, protocol ...[2]string) string {
	all, _ := params(nil).add(r.RawQuery)
	all, _ = all.add(form)
	for _, p := range protocol {
		all = append(all, param{escaped(p[0]), escaped(p[1])})
	}
	return string(baseString(r, all))
}

// Exhaust makes the next answer the one after the last that can be counted.
func Exhaust(d *Digest) { d.current.count = 0xffffffff }

// Challenges is how many challenges d remembers.
func Challenges(d *Digest) int { return len(d.recent) }
