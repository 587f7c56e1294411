package audit

// Wrote has do called whenever the kernel has been given records, before anybody is told.
func (o *Options) Wrote(do func()) { o.wrote = do }

// AtStep has f called with each step of a rotation or a retention, where the tests end the process or look around.
func (o *Options) AtStep(f func(step string)) { o.step = f }

// Steps are those steps, in order.
func Steps() []string {
	return []string{stepSigned, stepPrepared, stepRenamed, stepSwitched, stepAnchored, stepRecorded, stepUnlinked}
}
