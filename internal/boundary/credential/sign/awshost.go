package sign

import "strings"

// awsSuffixes are the domains that AWS's endpoints are under.
//
//nolint:gochecknoglobals // a constant table
var awsSuffixes = [...]string{
	".amazonaws.com.cn", ".amazonaws.com", ".api.amazonwebservices.com.cn",
	".api.aws", ".on.aws",
}

// AWSScope reads service (the signing name) and region from a host of AWS, with or without a port. What the host does
// not tell is "", and ok is false then.
func AWSScope(host string) (service, region string, ok bool) {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	var labels []string
	for _, suffix := range awsSuffixes {
		if rest, under := strings.CutSuffix(host, suffix); under {
			labels = strings.Split(rest, ".")
			break
		}
	}
	if len(labels) == 0 {
		return "", "", false
	}
	service, region = scopeOf(labels)
	service = signingName(strings.TrimSuffix(service, "-fips"))
	if region == "" && isGlobal(service) {
		region = "us-east-1"
	}
	return service, region, service != "" && region != ""
}

// scopeOf finds the region among the labels: behind the service (sqs.eu-west-1), or before it (eu-west-1.es).
func scopeOf(labels []string) (service, region string) {
	last := len(labels) - 1
	for i := last; i >= 0; i-- {
		if !isRegion(labels[i]) {
			continue
		}
		switch {
		case i < last && labels[last] != "vpce":
			return labels[last], labels[i]
		case i > 1 && labels[i-1] == "dualstack":
			return labels[i-2], labels[i]
		case i > 0:
			return labels[i-1], labels[i]
		}
		return "", labels[i]
	}
	// s3-eu-west-1, as it once was
	if rest, dashed := strings.CutPrefix(labels[last], "s3-"); dashed && isRegion(rest) {
		return "s3", rest
	}
	return labels[last], ""
}

// isRegion knows eu-west-1, us-gov-east-1, cn-north-1.
func isRegion(label string) bool {
	parts := strings.Split(label, "-")
	if len(parts) < 3 || len(parts[0]) < 2 || len(parts[0]) > 4 {
		return false
	}
	for i, part := range parts {
		letters := "abcdefghijklmnopqrstuvwxyz"
		if i == len(parts)-1 {
			letters = "0123456789"
		}
		if part == "" || strings.Trim(part, letters) != "" {
			return false
		}
	}
	return true
}

// signingName is the name that a service signs by, where its host has another.
func signingName(label string) string {
	switch label {
	case "s3-accelerate", "s3-accesspoint", "s3-control", "s3-website":
		return "s3"
	case "email":
		return "ses"
	case "queue":
		return "sqs"
	case "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime":
		return "bedrock"
	case "transcribestreaming":
		return "transcribe"
	case "lambda-url":
		return "lambda"
	case "appsync-api":
		return "appsync"
	case "pinpoint":
		return "mobiletargeting"
	case "contact-lens":
		return "connect"
	}
	return label
}

// isGlobal tells whether the service has one endpoint, in us-east-1.
func isGlobal(service string) bool {
	switch service {
	case "s3", "iam", "sts", "route53", "cloudfront", "organizations", "waf", "budgets", "ce", "sqs", "sdb",
		"importexport", "health", "support":
		return true
	}
	return false
}
