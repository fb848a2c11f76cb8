# Filled in by lute: threshold is a parameter of SelectPoints in config.yaml.
$2 > {{ threshold }} { print $1, $2 > out }
