/* Has the compute node make the image. */
function queueTask(job, cb) {
    var params = job.params;
    var request = {
        url: cnapiUrl,
        method: 'post',
        path: '/servers/' + params.server_uuid + '/vms/' + params.vm_uuid + '/images',
        body: {
            jobid: job.uuid,
            compression: params.compression,
            imgapi_url: imgapiUrl,
            incremental: params.incremental,
            manifest: params.manifest,
            prepare_image_script: params.prepare_image_script,
            max_origin_depth: params.max_origin_depth
        },
        deadline: Date.now() + 9000
    };
    isCanceled(job, function (canceled) {
        if (canceled) {
            cb('cancel');
            return;
        }
        send(job, request, function (err, task) {
            if (err) {
                cb(err);
            } else if (!task.id) {
                cb({ name: 'InternalError', message: 'CNAPI did not say which task it started' });
            } else {
                job.taskId = task.id;
                cb(null, 'Task queued to CNAPI');
            }
        });
    });
}
